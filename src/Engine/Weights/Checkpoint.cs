using System.Text.Json;
using NativeLM.Engine.Models;

namespace NativeLM.Engine.Weights;

/// <summary>All tensors of a model folder by name: model.safetensors, or the shards that model.safetensors.index.json lists.</summary>
internal sealed class Checkpoint : IDisposable
{
    private const string SingleName = "model.safetensors";
    private const string IndexName = "model.safetensors.index.json";
    private const int IndexBytesMax = 64 << 20;
    private const int ShardCountMax = 4096;

    private readonly List<SafetensorsFile> _files = [];
    private readonly Dictionary<string, (SafetensorsFile File, TensorInfo Tensor)> _tensors = [];

    private Checkpoint(string path) => Path = path;

    /// <summary>The folder, for messages.</summary>
    public string Path { get; }

    public IReadOnlyDictionary<string, (SafetensorsFile File, TensorInfo Tensor)> Tensors => _tensors;

    public static Checkpoint Open(ModelFolder folder)
    {
        Checkpoint checkpoint = new(folder.Path);
        try
        {
            if (folder.Has(SingleName))
                checkpoint.Add(folder, SingleName);
            else if (folder.Has(IndexName))
                checkpoint.AddShards(folder);
            else
                throw new ModelLoadException(folder.Path, $"found {WeightFilesIn(folder.Path)}, needed {SingleName} or {IndexName} with its shards");
            return checkpoint;
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        foreach (SafetensorsFile file in _files)
            file.Dispose();
    }

    private void AddShards(ModelFolder folder)
    {
        string path = folder.Name(IndexName);
        Dictionary<string, string> map = ReadWeightMap(folder.ReadAll(IndexName, IndexBytesMax), path);
        string[] shards = [.. map.Values.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        if (shards.Length > ShardCountMax)
            throw new ModelLoadException(path, $"found {shards.Length} shards, needed at most {ShardCountMax}");
        foreach (string shard in shards)
            Add(folder, shard);
        foreach ((string tensor, string shard) in map)
            if (!_tensors.TryGetValue(tensor, out (SafetensorsFile File, TensorInfo) found) || found.File.Path != folder.Name(shard))
                throw new ModelLoadException(path,
                    $"tensor '{ModelFolder.Clip(tensor)}': found nothing of that name in {ModelFolder.Clip(shard)}, needed it there");
    }

    private void Add(ModelFolder folder, string name)
    {
        if (!name.EndsWith(".safetensors", StringComparison.Ordinal))
            throw new ModelLoadException(folder.Path, $"found the shard name '{ModelFolder.Clip(name)}', needed *.safetensors");
        SafetensorsFile file = SafetensorsFile.Open(folder, name);
        _files.Add(file);
        foreach (TensorInfo tensor in file.Tensors)
            if (!_tensors.TryAdd(tensor.Name, (file, tensor)))
                throw new ModelLoadException(file.Path, $"tensor '{tensor.Name}': found it in {_tensors[tensor.Name].File.Path} too, needed it once");
    }

    private static Dictionary<string, string> ReadWeightMap(ReadOnlySpan<byte> content, string path)
    {
        Dictionary<string, string> map = [];
        try
        {
            Utf8JsonReader reader = new(content, new JsonReaderOptions { MaxDepth = 8 });
            reader.Read();
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                bool isMap = reader.ValueTextEquals("weight_map"u8);
                reader.Read();
                if (!isMap)
                    reader.Skip();
                else if (reader.TokenType != JsonTokenType.StartObject)
                    throw new ModelLoadException(path, $"weight_map: found a JSON {reader.TokenType}, needed an object");
                else
                    ReadEntries(ref reader, map, path);
            }
            while (reader.Read()) { }
        }
        catch (Exception cause) when (cause is JsonException or InvalidOperationException)
        {
            throw new ModelLoadException(path, $"is not valid JSON: {cause.Message}", cause);
        }
        return map.Count > 0 ? map : throw new ModelLoadException(path, "weight_map: found no entry, needed tensor names with their files");
    }

    private static void ReadEntries(ref Utf8JsonReader reader, Dictionary<string, string> map, string path)
    {
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string tensor = reader.GetString()!;
            reader.Read();
            if (reader.TokenType != JsonTokenType.String || !map.TryAdd(tensor, reader.GetString()!))
                throw new ModelLoadException(path,
                    $"weight_map: '{ModelFolder.Clip(tensor)}': found it twice or without a file name, needed one file name");
        }
    }

    // What a folder without safetensors has instead; such files can run code when they are opened, so nothing here reads them.
    private static string WeightFilesIn(string folder)
    {
        string[] others = [.. Directory.EnumerateFiles(folder).Select(System.IO.Path.GetFileName).OfType<string>()
            .Where(name => name.EndsWith(".bin", StringComparison.Ordinal) || name.EndsWith(".pt", StringComparison.Ordinal)
                || name.EndsWith(".pth", StringComparison.Ordinal) || name.EndsWith(".gguf", StringComparison.Ordinal)).Order().Take(3)];
        return others.Length == 0 ? "no weight file" : string.Join(", ", others);
    }
}
