using NativeLM.Engine.Models.Architectures;

namespace NativeLM.Engine.Models;

/// <summary>The families that are built in.</summary>
internal static class ArchitectureRegistry
{
    private static readonly Architecture[] All = [Llama.Description, Mistral.Description, Qwen2.Description, Qwen3.Description];

    /// <summary>Every <c>architectures</c> value that can be served.</summary>
    public static IEnumerable<string> Names => All.SelectMany(architecture => architecture.HuggingFaceNames);

    public static Architecture? Find(string huggingFaceName) =>
        Array.Find(All, architecture => architecture.HuggingFaceNames.Contains(huggingFaceName, StringComparer.Ordinal));
}
