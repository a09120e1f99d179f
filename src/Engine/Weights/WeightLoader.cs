using NativeLM.Interop;

namespace NativeLM.Engine.Weights;

/// <summary>
/// Fills the weight arena from a checkpoint: one thread reads and checks the next piece while this one packs the last. Pieces pass
/// through two staging buffers of bounded size, so the weights are never held twice.
/// </summary>
internal static class WeightLoader
{
    private const long StagingBytes = 16 << 20;

    /// <summary>Rows [FirstRow, FirstRow + Rows) of a matrix, or a whole vector.</summary>
    private readonly record struct Piece(WeightPart Part, SafetensorsFile File, TensorInfo Tensor, int FirstRow, int Rows)
    {
        public long RowBytes => (long)(Part.IsVector ? 1 : Part.Shape[1]) * Tensor.Type.Bytes();

        public long Bytes => Rows * RowBytes;
    }

    /// <summary>Throws unless the checkpoint holds exactly the tensors of the layout, in their shapes and in a type that can be loaded.</summary>
    public static void Check(Checkpoint checkpoint, WeightLayout layout)
    {
        HashSet<string> needed = [];
        foreach (WeightPart part in layout.Parts)
        {
            needed.Add(part.Name);
            string shape = $"[{string.Join(", ", part.Shape)}]";
            if (!checkpoint.Tensors.TryGetValue(part.Name, out (SafetensorsFile File, TensorInfo Tensor) found))
                throw new ModelLoadException(checkpoint.Path, $"tensor '{part.Name}': found nothing, needed {shape} (the config calls for it)");
            if (!found.Tensor.Shape.SequenceEqual(part.Shape.Select(dim => (long)dim)))
                throw new ModelLoadException(found.File.Path,
                    $"tensor '{part.Name}': found {found.Tensor.ShapeText}, needed {shape} (from the config)");
            if (found.Tensor.Type == TensorType.Other)
                throw new ModelLoadException(found.File.Path, $"tensor '{part.Name}': found type {found.Tensor.TypeName}, needed F32, F16 or BF16");
        }
        foreach ((string name, (SafetensorsFile file, TensorInfo tensor)) in checkpoint.Tensors)
            if (!needed.Contains(name) && !layout.IsIgnored(name))
                throw new ModelLoadException(file.Path, $"tensor '{name}': found {tensor.ShapeText} that the config has no place for, needed none");
    }

    /// <summary>Reads, checks and packs everything into an arena of layout.Bytes. Call <see cref="Check"/> first.</summary>
    public static unsafe void Fill(
        DeviceBuffer arena, Checkpoint checkpoint, WeightLayout layout, DeviceStream stream, IProgress<LoadProgress>? progress)
    {
        List<Piece> pieces = PiecesInFileOrder(checkpoint, layout);
        long total = pieces.Sum(piece => piece.Bytes), done = 0, stagingBytes = pieces.Max(piece => piece.Bytes);
        using PinnedBuffer reading = stream.Device.AllocatePinned(stagingBytes), packing = stream.Device.AllocatePinned(stagingBytes);
        (PinnedBuffer next, PinnedBuffer current) = (reading, packing);
        progress?.Report(new LoadProgress(0, total));
        Task read = Start(pieces[0], next);
        for (int i = 0; i < pieces.Count; i++)
        {
            read.GetAwaiter().GetResult();
            (next, current) = (current, next);
            read = i + 1 < pieces.Count ? Start(pieces[i + 1], next) : Task.CompletedTask;
            try
            {
                Place(pieces[i], current, arena, layout.Type, stream);
            }
            catch
            {
                // The reader still writes into a buffer that is about to be freed.
                Task.WaitAny(read);
                throw;
            }
            done += pieces[i].Bytes;
            progress?.Report(new LoadProgress(done, total));
        }

        Task Start(Piece piece, PinnedBuffer buffer) => Task.Run(() => Read(piece, buffer.AsSpan<byte>()[..(int)piece.Bytes], layout.Type));
    }

    private static List<Piece> PiecesInFileOrder(Checkpoint checkpoint, WeightLayout layout)
    {
        List<Piece> pieces = [];
        foreach (WeightPart part in layout.Parts)
        {
            (SafetensorsFile file, TensorInfo tensor) = checkpoint.Tensors[part.Name];
            Piece whole = new(part, file, tensor, 0, part.Shape[0]);
            // Whole panels of 64 rows where a piece holds that many, so no panel is visited twice.
            int rows = (int)Math.Min(part.Shape[0], Math.Max(1, StagingBytes / whole.RowBytes));
            rows = part.IsVector ? part.Shape[0] : rows > 64 ? rows / 64 * 64 : rows;
            for (int first = 0; first < part.Shape[0]; first += rows)
                pieces.Add(whole with { FirstRow = first, Rows = Math.Min(rows, part.Shape[0] - first) });
        }
        return [.. pieces.OrderBy(piece => piece.File.Path, StringComparer.Ordinal)
            .ThenBy(piece => piece.Tensor.Offset).ThenBy(piece => piece.FirstRow)];
    }

    private static void Read(Piece piece, Span<byte> destination, DType target)
    {
        piece.File.Read(piece.Tensor.Offset + (piece.FirstRow * piece.RowBytes), destination);
        if (!WeightValues.AreFinite(destination, piece.Tensor.Type, target))
            throw new ModelLoadException(piece.File.Path,
                $"tensor '{piece.Part.Name}': found a value that is not finite as {target}, needed finite weights "
                + "(a damaged file, or try another --dtype)");
    }

    private static unsafe void Place(Piece piece, PinnedBuffer staging, DeviceBuffer arena, DType type, DeviceStream stream)
    {
        if (!piece.Part.IsVector)
        {
            stream.Ops.PackWeight(new PackWeightArgs
            {
                Type = type,
                Packed = arena.At(piece.Part.Offset),
                Source = staging.Pointer,
                TypeSource = ToDType(piece.Tensor.Type),
                Role = piece.Part.Role,
                N = piece.Part.N,
                K = piece.Part.Shape[1],
                RowOffset = piece.Part.RowOffset + piece.FirstRow,
                SourceRows = piece.Rows,
            });
            return;
        }
        byte[] converted = new byte[piece.Rows * (type == DType.F32 ? 4 : 2)];
        WeightValues.Convert(staging.AsSpan<byte>()[..(int)piece.Bytes], piece.Tensor.Type, converted, type);
        fixed (byte* source = converted)
        {
            stream.Ops.Copy(arena.At(piece.Part.Offset), source, converted.Length, CopyKind.ToDevice);
            stream.Synchronize();
        }
    }

    private static DType ToDType(TensorType type) => type switch
    {
        TensorType.F32 => DType.F32,
        TensorType.F16 => DType.F16,
        _ => DType.BF16,
    };
}
