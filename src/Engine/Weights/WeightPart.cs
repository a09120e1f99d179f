using NativeLM.Interop;

namespace NativeLM.Engine.Weights;

/// <summary>
/// One checkpoint tensor and where it goes. A matrix of Shape [rows, columns] becomes rows RowOffset.. of a packed weight [n, columns];
/// a vector of Shape [rows] is converted to the compute type and laid at Offset.
/// </summary>
internal sealed record WeightPart(string Name, int[] Shape, long Offset, int N, int RowOffset, WeightRole Role)
{
    public bool IsVector => Shape.Length == 1;
}
