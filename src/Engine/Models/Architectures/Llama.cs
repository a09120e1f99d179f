namespace NativeLM.Engine.Models.Architectures;

/// <summary>Llama 1 to 3.x and the many models that share its layout.</summary>
internal static class Llama
{
    public static readonly Architecture Description = new()
    {
        HuggingFaceNames = ["LlamaForCausalLM"],
        QkvBias = BiasRule.Configured,
        OutputBias = BiasRule.Configured,
        MlpBias = BiasRule.Configured,
    };
}
