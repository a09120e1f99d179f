using System.Text.Json;

namespace NativeLM.Engine.Weights;

/// <summary>
/// Parses a safetensors header under the rules of the reference implementation: an object of distinct names, known types, shape ×
/// type equal to the extent, extents that follow one another without hole or overlap from 0 to the end of the file.
/// One pass, no recursion; memory follows the bytes that are really there.
/// </summary>
internal static class SafetensorsHeader
{
    public const int LengthBytes = 8;
    public const int HeaderBytesMax = 100_000_000;
    private const int TensorCountMax = 1_000_000;
    private const int RankMax = 16;
    private const int NameLengthMax = 1024;

    /// <param name="header">The JSON text, without the length in front.</param>
    /// <param name="fileLength">Bytes of the whole file.</param>
    /// <param name="file">For messages.</param>
    public static List<TensorInfo> Parse(ReadOnlySpan<byte> header, long fileLength, string file)
    {
        if (header.IsEmpty || header[0] != (byte)'{')
            throw new ModelLoadException(file, "header: found no '{' at its start, needed a JSON object");
        try
        {
            List<TensorInfo> tensors = ReadTensors(header, file);
            CheckExtents(tensors, fileLength - LengthBytes - header.Length, file);
            long dataStart = LengthBytes + header.Length;
            for (int i = 0; i < tensors.Count; i++)
                tensors[i] = tensors[i] with { Offset = tensors[i].Offset + dataStart };
            return tensors;
        }
        catch (Exception cause) when (cause is JsonException or InvalidOperationException)
        {
            throw new ModelLoadException(file, $"header: is not valid JSON: {cause.Message}", cause);
        }
    }

    private static List<TensorInfo> ReadTensors(ReadOnlySpan<byte> header, string file)
    {
        Utf8JsonReader reader = new(header, new JsonReaderOptions { MaxDepth = 8 });
        List<TensorInfo> tensors = [];
        HashSet<string> names = [];
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueSpan.Length > NameLengthMax)
                throw new ModelLoadException(file, $"header: found a name of {reader.ValueSpan.Length} bytes, needed at most {NameLengthMax}");
            string name = reader.GetString()!;
            if (!names.Add(name))
                throw new ModelLoadException(file, $"header: found '{name}' twice, needed distinct names");
            if (names.Count > TensorCountMax)
                throw new ModelLoadException(file, $"header: found more than {TensorCountMax} tensors");
            reader.Read();
            if (name == "__metadata__")
                reader.Skip();
            else
                tensors.Add(ReadTensor(ref reader, name, file));
        }
        // Padding blanks may follow; the reader itself refuses anything else.
        while (reader.Read()) { }
        return tensors;
    }

    private static TensorInfo ReadTensor(ref Utf8JsonReader reader, string name, string file)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
            throw Wrong(file, name, $"a JSON {reader.TokenType}", "an object");
        string? typeName = null;
        long[]? shape = null, extent = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            bool isType = reader.ValueTextEquals("dtype"u8), isShape = reader.ValueTextEquals("shape"u8);
            bool isExtent = reader.ValueTextEquals("data_offsets"u8);
            reader.Read();
            if (isType && typeName is null && reader.TokenType == JsonTokenType.String && reader.ValueSpan.Length <= 16)
                typeName = reader.GetString();
            else if (isShape && shape is null)
                shape = ReadNumbers(ref reader, name, "shape", RankMax, file);
            else if (isExtent && extent is null)
                extent = ReadNumbers(ref reader, name, "data_offsets", 2, file);
            else
                throw Wrong(file, name, "an unknown, repeated or ill-typed field", "dtype, shape and data_offsets");
        }
        if (typeName is null || shape is null || extent is null || extent.Length != 2)
            throw Wrong(file, name, "an entry without dtype, shape or two data_offsets", "all three");
        (TensorType type, int bits) = TensorTypes.Parse(typeName);
        if (bits == 0)
            throw Wrong(file, name, $"dtype {typeName}", "a type of the safetensors format");
        long bytes = BytesOf(shape, bits, name, file);
        if (extent[1] < extent[0] || extent[1] - extent[0] != bytes)
            throw Wrong(file, name, $"data_offsets [{extent[0]}, {extent[1]}]", $"{bytes} bytes for {typeName} [{string.Join(", ", shape)}]");
        return new TensorInfo(name, type, typeName, shape, extent[0], bytes);
    }

    private static long[] ReadNumbers(ref Utf8JsonReader reader, string name, string field, int countMax, string file)
    {
        if (reader.TokenType != JsonTokenType.StartArray)
            throw Wrong(file, name, $"{field} as a JSON {reader.TokenType}", "a list");
        Span<long> numbers = stackalloc long[countMax];
        int count = 0;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (count == countMax)
                throw Wrong(file, name, $"more than {countMax} numbers in {field}", $"at most {countMax}");
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out long number) || number < 0)
                throw Wrong(file, name, $"{field} with an entry that is no whole number from 0 to 2^63 - 1", "whole numbers");
            numbers[count++] = number;
        }
        return numbers[..count].ToArray();
    }

    private static long BytesOf(long[] shape, int bits, string name, string file)
    {
        try
        {
            long elements = 1;
            foreach (long dim in shape)
                elements = checked(elements * dim);
            long allBits = checked(elements * bits);
            return allBits % 8 == 0 ? allBits / 8 : throw Wrong(file, name, $"{allBits} bits", "whole bytes");
        }
        catch (OverflowException cause)
        {
            throw new ModelLoadException(file, $"tensor '{name}': found shape [{string.Join(", ", shape)}], needed a size below 2^63 bits", cause);
        }
    }

    private static void CheckExtents(List<TensorInfo> tensors, long dataBytes, string file)
    {
        tensors.Sort((a, b) => a.Offset != b.Offset ? a.Offset.CompareTo(b.Offset) : a.Bytes.CompareTo(b.Bytes));
        long end = 0;
        foreach (TensorInfo tensor in tensors)
        {
            if (tensor.Offset != end)
                throw Wrong(file, tensor.Name, $"data at {tensor.Offset}", $"data at {end}, where the tensor before it ends");
            end += tensor.Bytes;
            if (end > dataBytes || end < 0)
                throw Wrong(file, tensor.Name, $"data up to {end}", $"at most the {dataBytes} data bytes of the file");
        }
        if (end != dataBytes)
            throw new ModelLoadException(file, $"found {dataBytes} data bytes, needed the {end} that the header describes (truncated or damaged?)");
    }

    private static ModelLoadException Wrong(string file, string name, string found, string needed) =>
        new(file, $"tensor '{Models.ModelFolder.Clip(name)}': found {found}, needed {needed}");
}
