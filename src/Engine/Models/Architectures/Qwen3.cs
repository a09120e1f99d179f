namespace NativeLM.Engine.Models.Architectures;

/// <summary>Qwen 3 dense: Llama's layout with normalised query and key heads.</summary>
internal static class Qwen3
{
    public static readonly Architecture Description = new()
    {
        HuggingFaceNames = ["Qwen3ForCausalLM"],
        QkvBias = BiasRule.Configured,
        OutputBias = BiasRule.Configured,
        QkNorm = true,
        Window = WindowRule.SomeLayers,
    };
}
