using System.Runtime.CompilerServices;
using NativeLM.Interop;

namespace NativeLM.Engine.Models;

/// <summary>The KV cache of all layers, and its description at an address that the kernels' arguments can point to.</summary>
internal sealed unsafe class KvPool : IDisposable
{
    private readonly DeviceBuffer _memory;
    private readonly KvCache[] _description = GC.AllocateArray<KvCache>(1, pinned: true);

    public KvPool(Device device, ModelConfig config, DType type, int blockSize, int blockCount)
    {
        KvCache description = Describe(config, type, blockSize);
        description.BlockCount = blockCount;
        _memory = device.Allocate(checked(device.Library.KvBlockBytes(description) * blockCount));
        description.Data = _memory.Pointer;
        _description[0] = description;
    }

    public ref readonly KvCache Description => ref _description[0];

    /// <summary>Valid for the life of this object.</summary>
    public KvCache* Pointer => (KvCache*)Unsafe.AsPointer(ref _description[0]);

    /// <summary>A pool of no blocks, for size queries.</summary>
    public static KvCache Describe(ModelConfig config, DType type, int blockSize) => new()
    {
        Size = (uint)sizeof(KvCache),
        Type = type,
        BlockCount = 1,
        BlockSize = blockSize,
        LayerCount = config.LayerCount,
        KvHeadCount = config.KvHeadCount,
        HeadDim = config.HeadDim,
    };

    public void Dispose() => _memory.Dispose();
}
