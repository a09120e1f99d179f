namespace NativeLM.Engine.Weights;

/// <summary>Element types of the safetensors format. Only F32, F16 and BF16 can be loaded; of the others the sizes are checked.</summary>
internal enum TensorType
{
    F32,
    F16,
    BF16,
    Other,
}

internal static class TensorTypes
{
    /// <summary>Bits of one element, or 0 for a name that the format does not have.</summary>
    public static (TensorType Type, int Bits) Parse(string name) => name switch
    {
        "F32" => (TensorType.F32, 32),
        "F16" => (TensorType.F16, 16),
        "BF16" => (TensorType.BF16, 16),
        "F4" => (TensorType.Other, 4),
        "F6_E2M3" or "F6_E3M2" => (TensorType.Other, 6),
        "BOOL" or "U8" or "I8" or "F8_E4M3" or "F8_E5M2" or "F8_E8M0" => (TensorType.Other, 8),
        "I16" or "U16" => (TensorType.Other, 16),
        "I32" or "U32" => (TensorType.Other, 32),
        "I64" or "U64" or "F64" or "C64" => (TensorType.Other, 64),
        _ => (TensorType.Other, 0),
    };

    /// <summary>Bytes of one element of a type that can be loaded.</summary>
    public static int Bytes(this TensorType type) => type == TensorType.F32 ? 4 : 2;
}
