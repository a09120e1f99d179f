using Spectre.Console;

namespace NativeLM.Server.CommandLine;

/// <summary>A progress bar on a terminal; silence elsewhere, so that logs and pipes stay plain.</summary>
internal static class Progress
{
    private static bool IsTerminal => !Console.IsErrorRedirected && !Console.IsOutputRedirected;

    /// <summary>Runs work of a known number of parts; the work calls its argument once per part, from any thread.</summary>
    public static async Task<T> RunAsync<T>(string label, int parts, Func<Action, Task<T>> work)
    {
        if (!IsTerminal)
            return await work(static () => { });
        T result = default!;
        await Bars().StartAsync(async context =>
        {
            ProgressTask task = context.AddTask(Markup.Escape(label), maxValue: parts);
            result = await work(() => task.Increment(1));
        });
        return result;
    }

    /// <summary>Runs work that reports its share done, 0 to 1.</summary>
    public static T Run<T>(string label, Func<Action<double>, T> work)
    {
        if (!IsTerminal)
            return work(static _ => { });
        T result = default!;
        Bars().Start(context =>
        {
            ProgressTask task = context.AddTask(Markup.Escape(label), maxValue: 1);
            result = work(share => task.Value = share);
        });
        return result;
    }

    private static Spectre.Console.Progress Bars() => AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) })
        .Progress().AutoClear(true).Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn());
}
