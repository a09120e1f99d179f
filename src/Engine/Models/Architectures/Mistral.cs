namespace NativeLM.Engine.Models.Architectures;

/// <summary>Llama's layout with a sliding window in the first releases.</summary>
internal static class Mistral
{
    public static readonly Architecture Description = new()
    {
        HuggingFaceNames = ["MistralForCausalLM"],
        Window = WindowRule.EveryLayer,
    };
}
