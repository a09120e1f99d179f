namespace NativeLM.Engine.Models.Architectures;

/// <summary>Qwen 2 and 2.5: Llama's layout with biased q, k and v.</summary>
internal static class Qwen2
{
    public static readonly Architecture Description = new()
    {
        HuggingFaceNames = ["Qwen2ForCausalLM"],
        QkvBias = BiasRule.Always,
        Window = WindowRule.SomeLayers,
    };
}
