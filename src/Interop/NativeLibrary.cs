using Runtime = System.Runtime.InteropServices;

namespace NativeLM.Interop;

/// <summary>
/// One loaded backend. It stays loaded for the life of the process: devices, streams and buffers hold function pointers into it.
/// Thread-safe.
/// </summary>
public sealed unsafe class NativeLibrary
{
    internal NativeLibrary(nint handle, string path)
    {
        Path = path;
        CheckAbi(handle, path);
        Api = new NativeApi(handle, path);
        Backend = (Backend)Api.BackendKind();
    }

    /// <summary>File that was loaded.</summary>
    public string Path { get; }

    /// <summary>What computes behind this library.</summary>
    public Backend Backend { get; }

    internal NativeApi Api { get; }

    /// <summary>Whether this machine can run a CPU instruction family.</summary>
    public bool IsSupported(Isa isa) => Api.IsaSupported((int)isa) != 0;

    /// <summary>
    /// Opens a device. Throws <see cref="NativeUnsupportedException"/> when the family or ordinal is not there, and
    /// <see cref="NativeArgumentException"/> for options out of range.
    /// </summary>
    public Device OpenDevice(DeviceOptions options)
    {
        options.Size = (uint)sizeof(DeviceOptions);
        DeviceHandle* handle;
        Status.Check(Api, Api.DeviceOpen(&options, &handle));
        return new Device(this, handle);
    }

    /// <summary>Bytes of a packed weight [n, k].</summary>
    public long PackedWeightBytes(DType type, int n, int k) =>
        Status.CheckBytes(Api, Api.PackedWeightBytes((int)type, n, k), $"packed weight of type {type} [{n}, {k}]");

    /// <summary>Workspace bytes for up to RowsMax rows; the pointers in <paramref name="args"/> are not read.</summary>
    public long GemmWorkspaceBytes(in GemmArgs args)
    {
        GemmArgs call = args;
        call.Size = (uint)sizeof(GemmArgs);
        return Status.CheckBytes(Api, Api.GemmWorkspaceBytes(&call), $"gemm of {args.RowsMax} rows, n {args.N}, k {args.K}");
    }

    /// <summary>Workspace bytes for attention; the pointers in <paramref name="args"/>, its cache excepted, are not read.</summary>
    public long PagedAttentionWorkspaceBytes(in PagedAttentionArgs args)
    {
        PagedAttentionArgs call = args;
        call.Size = (uint)sizeof(PagedAttentionArgs);
        return Status.CheckBytes(Api, Api.PagedAttentionWorkspaceBytes(&call), $"attention of {args.RowsMax} rows");
    }

    /// <summary>Workspace bytes for sampling; the pointers in <paramref name="args"/> are not read.</summary>
    public long SampleWorkspaceBytes(in SampleArgs args)
    {
        SampleArgs call = args;
        call.Size = (uint)sizeof(SampleArgs);
        return Status.CheckBytes(Api, Api.SampleWorkspaceBytes(&call), $"sampling of {args.RowsMax} rows");
    }

    /// <summary>Workspace bytes for beam candidates; the pointers in <paramref name="args"/> are not read.</summary>
    public long BeamTopkWorkspaceBytes(in BeamTopkArgs args)
    {
        BeamTopkArgs call = args;
        call.Size = (uint)sizeof(BeamTopkArgs);
        return Status.CheckBytes(Api, Api.BeamTopkWorkspaceBytes(&call), $"beam candidates of {args.GroupsMax} groups");
    }

    /// <summary>Bytes of one KV block over all layers; Data and BlockCount of <paramref name="cache"/> do not matter.</summary>
    public long KvBlockBytes(in KvCache cache)
    {
        KvCache call = cache;
        call.Size = (uint)sizeof(KvCache);
        return Status.CheckBytes(Api, Api.KvBlockBytes(&call), $"KV block of {cache.BlockSize} slots");
    }

    // Before the table is resolved: a library of another ABI may lack functions, and its version says more than a missing name.
    private static void CheckAbi(nint handle, string path)
    {
        if (!Runtime.NativeLibrary.TryGetExport(handle, "nlm_abi_version", out nint version)
            || !Runtime.NativeLibrary.TryGetExport(handle, "nlm_abi_hash", out nint hash))
            throw new NativeLoadException($"{path}: not a NativeLM library (nlm_abi_version is missing)");
        int foundVersion = ((delegate* unmanaged[Cdecl]<int>)version)();
        ulong foundHash = ((delegate* unmanaged[Cdecl]<ulong>)hash)();
        if (foundVersion != NativeApi.ExpectedAbiVersion || foundHash != NativeApi.ExpectedAbiHash)
            throw new NativeLoadException(
                $"{path}: found ABI version {foundVersion} (hash {foundHash:x16}), needed version {NativeApi.ExpectedAbiVersion} "
                + $"(hash {NativeApi.ExpectedAbiHash:x16}); program and library are of different builds: build both again with scripts/build.sh");
    }
}
