using System.Text.Json.Serialization;

namespace NativeLM.Server.Contracts;

/// <summary>Source-generated JSON of the small answers. Requests are read field by field, generations are written as they come.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, GenerationMode = JsonSourceGenerationMode.Default)]
[JsonSerializable(typeof(ErrorBody))]
[JsonSerializable(typeof(ModelCard))]
[JsonSerializable(typeof(ModelList))]
[JsonSerializable(typeof(TokenizeAnswer))]
[JsonSerializable(typeof(DetokenizeAnswer))]
[JsonSerializable(typeof(HealthAnswer))]
[JsonSerializable(typeof(VersionAnswer))]
[JsonSerializable(typeof(LoadAnswer))]
[JsonSerializable(typeof(PrefixCard))]
[JsonSerializable(typeof(PrefixList))]
[JsonSerializable(typeof(PrefixReleased))]
internal sealed partial class ServerJson : JsonSerializerContext;
