namespace NativeLM.Engine.Weights;

/// <summary>
/// Where one tensor lies in a safetensors file: Bytes bytes from Offset of the file. The extent is checked against shape, type and
/// file; TypeName is the header's own word, for messages.
/// </summary>
internal sealed record TensorInfo(string Name, TensorType Type, string TypeName, long[] Shape, long Offset, long Bytes)
{
    public string ShapeText => $"[{string.Join(", ", Shape)}]";
}
