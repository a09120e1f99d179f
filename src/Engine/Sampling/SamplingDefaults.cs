using NativeLM.Engine.Models;

namespace NativeLM.Engine.Sampling;

/// <summary>Reads the sampling that a model's generation_config.json recommends; what a request leaves out comes from it.</summary>
internal static class SamplingDefaults
{
    public const string FileName = "generation_config.json";
    private const int FileBytesMax = 16 << 20;

    /// <summary>The recommended sampling; the plain defaults if the folder has no such file.</summary>
    /// <exception cref="ModelLoadException">A value is out of the range that requests have.</exception>
    public static SamplingParams Load(ModelFolder folder)
    {
        if (!folder.Has(FileName))
            return new SamplingParams();
        JsonFields fields = JsonFields.Parse(folder.ReadAll(FileName, FileBytesMax), folder.Name(FileName));
        SamplingParams sampling = new()
        {
            Temperature = (float)(fields.Number("temperature", 0, 2) ?? 1),
            TopP = (float)(fields.Number("top_p", 0, 1) ?? 1),
            TopK = Math.Max(0, fields.Int("top_k", -1, int.MaxValue) ?? 0),
            MinP = (float)(fields.Number("min_p", 0, 1) ?? 0),
            RepetitionPenalty = (float)(fields.Number("repetition_penalty", 0.01, 10) ?? 1),
            MaxTokens = fields.Int("max_new_tokens", 1, int.MaxValue),
        };
        try
        {
            sampling.Validate(vocabularySize: 1); // it names no token
        }
        catch (RequestRejectedException rejection)
        {
            throw new ModelLoadException(folder.Name(FileName), rejection.Message, rejection);
        }
        return sampling;
    }
}
