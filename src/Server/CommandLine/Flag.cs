using System.CommandLine;

namespace NativeLM.Server.CommandLine;

/// <summary>Short forms of option declarations.</summary>
internal static class Flag
{
    /// <summary>An option without a default.</summary>
    public static Option<T> Of<T>(string name, string description, params string[] aliases) => new(name, aliases) { Description = description };

    /// <summary>An option with a default, which the help shows.</summary>
    public static Option<T> With<T>(string name, string description, T fallback, params string[] aliases) =>
        new(name, aliases) { Description = description, DefaultValueFactory = _ => fallback };

    /// <summary>An option that takes several words.</summary>
    public static Option<string[]> Many(string name, string description) =>
        new(name) { Description = description, AllowMultipleArgumentsPerToken = true };

    /// <summary>A time in seconds.</summary>
    public static Option<double> Seconds(string name, string description, double fallback) =>
        new(name) { Description = description, HelpName = "SECONDS", DefaultValueFactory = _ => fallback };
}
