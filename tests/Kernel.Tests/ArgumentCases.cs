using NativeLM.Interop;

namespace NativeLM.Tests.Kernel;

/// <summary>
/// One call with one wrong argument. <paramref name="IsSize"/>: the function returns bytes and -1 for an error.
/// <paramref name="InDeviceMemory"/>: what is wrong are numbers in device memory, which only the CPU backend can look at.
/// </summary>
internal sealed record ArgumentCase(
    string Function, string What, string Argument, Func<NativeApi, long> Call, bool IsSize = false, bool InDeviceMemory = false);

/// <summary>Valid argument structs of every function, and ways to spoil them.</summary>
internal static unsafe class ArgumentCases
{
    public static List<ArgumentCase> All(Rig rig)
    {
        Valid valid = new(rig);
        List<ArgumentCase> cases = [];
        Device(cases, rig);
        Structs(cases, rig, valid);
        Blocks(cases, rig, valid);
        return cases;
    }

    public static List<(string Function, Func<NativeApi, StatusCode> Call)> ZeroRows(Rig rig)
    {
        Valid valid = new(rig);
        StreamHandle* stream = rig.Stream.Handle;
        return
        [
            ("nlm_gemm", api => { GemmArgs a = valid.Gemm; a.RowsMax = 0; return api.Gemm(stream, &a); }),
            ("nlm_embed", api => { EmbedArgs a = valid.Embed; a.RowsMax = 0; return api.Embed(stream, &a); }),
            ("nlm_norm", api => { NormArgs a = valid.Norm; a.RowsMax = 0; return api.Norm(stream, &a); }),
            ("nlm_activate", api => { ActivateArgs a = valid.Activate; a.RowsMax = 0; return api.Activate(stream, &a); }),
            ("nlm_gather_rows", api => { GatherRowsArgs a = valid.Gather; a.RowsMax = 0; return api.GatherRows(stream, &a); }),
            ("nlm_write_kv", api => { WriteKvArgs a = valid.WriteKv; a.RowsMax = 0; return api.WriteKv(stream, &a); }),
            ("nlm_paged_attention", api => { PagedAttentionArgs a = valid.Attention; a.RowsMax = 0; a.SequencesMax = 0; return api.PagedAttention(stream, &a); }),
            ("nlm_sample", api => { SampleArgs a = valid.Sample; a.RowsMax = 0; return api.Sample(stream, &a); }),
            ("nlm_feed_tokens", api => { FeedTokensArgs a = valid.Feed; a.RowsMax = 0; return api.FeedTokens(stream, &a); }),
            ("nlm_beam_topk", api => { BeamTopkArgs a = valid.Beam; a.GroupsMax = 0; return api.BeamTopk(stream, &a); }),
            ("nlm_copy_blocks", api => { KvCache c = *valid.Cache; return api.CopyBlocks(stream, &c, null, 0); }),
            ("nlm_swap_blocks", api => { KvCache c = *valid.Cache; return api.SwapBlocks(stream, &c, valid.Host, 1, null, 0, 0); }),
            ("nlm_copy", api => api.Copy(stream, valid.Memory, valid.Memory, 0, 0)),
            ("nlm_fill", api => api.Fill(stream, valid.Memory, 0, 0)),
        ];
    }

    /// <summary>The calls that the cases spoil, unspoilt.</summary>
    public static List<(string Function, Func<NativeApi, StatusCode> Call)> GoodCalls(Rig rig)
    {
        Valid valid = new(rig);
        StreamHandle* stream = rig.Stream.Handle;
        return
        [
            ("nlm_pack_weight", api => { PackWeightArgs a = valid.Pack; return api.PackWeight(stream, &a); }),
            ("nlm_gemm", api => { GemmArgs a = valid.Gemm; return api.Gemm(stream, &a); }),
            ("nlm_embed", api => { EmbedArgs a = valid.Embed; return api.Embed(stream, &a); }),
            ("nlm_norm", api => { NormArgs a = valid.Norm; return api.Norm(stream, &a); }),
            ("nlm_activate", api => { ActivateArgs a = valid.Activate; return api.Activate(stream, &a); }),
            ("nlm_gather_rows", api => { GatherRowsArgs a = valid.Gather; return api.GatherRows(stream, &a); }),
            ("nlm_write_kv", api => { WriteKvArgs a = valid.WriteKv; return api.WriteKv(stream, &a); }),
            ("nlm_paged_attention", api => { PagedAttentionArgs a = valid.Attention; return api.PagedAttention(stream, &a); }),
            ("nlm_sample", api => { SampleArgs a = valid.Sample; return api.Sample(stream, &a); }),
            ("nlm_feed_tokens", api => { FeedTokensArgs a = valid.Feed; return api.FeedTokens(stream, &a); }),
            ("nlm_beam_topk", api => { BeamTopkArgs a = valid.Beam; return api.BeamTopk(stream, &a); }),
            ("nlm_count_tokens", api => { CountTokensArgs a = valid.Count; return api.CountTokens(stream, &a); }),
        ];
    }

    private static void Device(List<ArgumentCase> cases, Rig rig)
    {
        DeviceHandle* device = rig.Device.Handle;
        StreamHandle* stream = rig.Stream.Handle;
        void* memory = rig.Memory(64);
        void Add(string function, string what, string argument, Func<NativeApi, StatusCode> call) =>
            cases.Add(new(function, what, argument, api => (long)call(api)));

        DeviceOptions good = new() { Size = (uint)sizeof(DeviceOptions), ThreadCount = 1 };
        void Open(string what, string argument, Func<DeviceOptions, DeviceOptions> spoil) =>
            Add("nlm_device_open", what, argument, api => { DeviceOptions o = spoil(good); DeviceHandle* d; return api.DeviceOpen(&o, &d); });
        Add("nlm_device_open", "null options", "options", api => { DeviceHandle* d; return api.DeviceOpen(null, &d); });
        Add("nlm_device_open", "null device", "device", api => { DeviceOptions o = good; return api.DeviceOpen(&o, null); });
        Open("another size", "size", o => o with { Size = 4 });
        Open("negative ordinal", "ordinal", o => o with { Ordinal = -1 });
        Open("negative threads", "thread_count", o => o with { ThreadCount = -1 });
        Open("unknown family", "isa", o => o with { Isa = (Isa)99 });
        Add("nlm_device_close", "null", "device", api => api.DeviceClose(null));
        Add("nlm_device_get_info", "null device", "device", api => { DeviceInfo i = new() { Size = (uint)sizeof(DeviceInfo) }; return api.DeviceGetInfo(null, &i); });
        Add("nlm_device_get_info", "null info", "info", api => api.DeviceGetInfo(device, null));
        Add("nlm_device_get_info", "another size", "size", api => { DeviceInfo i = default; return api.DeviceGetInfo(device, &i); });
        Add("nlm_memory_allocate", "null device", "device", api => { void* m; return api.MemoryAllocate(null, 64, 0, &m); });
        Add("nlm_memory_allocate", "null memory", "memory", api => api.MemoryAllocate(device, 64, 0, null));
        Add("nlm_memory_allocate", "negative bytes", "bytes", api => { void* m; return api.MemoryAllocate(device, -1, 0, &m); });
        Add("nlm_memory_allocate", "unknown kind", "kind", api => { void* m; return api.MemoryAllocate(device, 64, 9, &m); });
        Add("nlm_memory_allocate", "more than there is", "bytes", api => { void* m; return api.MemoryAllocate(device, long.MaxValue, 0, &m); });
        Add("nlm_memory_free", "null device", "device", api => api.MemoryFree(null, memory));
        Add("nlm_stream_create", "null device", "device", api => { StreamHandle* s; return api.StreamCreate(null, &s); });
        Add("nlm_stream_create", "null stream", "stream", api => api.StreamCreate(device, null));
        Add("nlm_stream_destroy", "null", "stream", api => api.StreamDestroy(null));
        Add("nlm_stream_synchronize", "null", "stream", api => api.StreamSynchronize(null));
        Add("nlm_event_create", "null device", "device", api => { EventHandle* e; return api.EventCreate(null, &e); });
        Add("nlm_event_create", "null event", "event", api => api.EventCreate(device, null));
        Add("nlm_event_destroy", "null", "event", api => api.EventDestroy(null));
        Add("nlm_event_record", "null event", "event", api => api.EventRecord(null, stream));
        Add("nlm_event_synchronize", "null", "event", api => api.EventSynchronize(null));
        Add("nlm_event_query", "null event", "event", api => { int done; return api.EventQuery(null, &done); });
        EventHandle* none = null;
        Add("nlm_stream_wait_event", "null stream", "stream", api => api.StreamWaitEvent(null, none));
        Add("nlm_stream_wait_event", "null event", "event", api => api.StreamWaitEvent(stream, null));
        Add("nlm_graph_begin", "null", "stream", api => api.GraphBegin(null));
        Add("nlm_graph_end", "null stream", "stream", api => { GraphHandle* g; return api.GraphEnd(null, &g); });
        Add("nlm_graph_end", "null graph", "graph", api => api.GraphEnd(stream, null));
        Add("nlm_graph_end", "nothing begun", "begin", api => { GraphHandle* g; return api.GraphEnd(stream, &g); });
        Add("nlm_graph_launch", "null stream", "stream", api => api.GraphLaunch(null, null));
        Add("nlm_graph_launch", "null graph", "graph", api => api.GraphLaunch(stream, null));
        Add("nlm_graph_destroy", "null", "graph", api => api.GraphDestroy(null));
        Add("nlm_copy", "null stream", "stream", api => api.Copy(null, memory, memory, 8, 0));
        Add("nlm_copy", "null destination", "destination", api => api.Copy(stream, null, memory, 8, 0));
        Add("nlm_copy", "null source", "source", api => api.Copy(stream, memory, null, 8, 0));
        Add("nlm_copy", "negative bytes", "bytes", api => api.Copy(stream, memory, memory, -8, 0));
        Add("nlm_copy", "unknown kind", "kind", api => api.Copy(stream, memory, memory, 8, 7));
        Add("nlm_fill", "null stream", "stream", api => api.Fill(null, memory, 0, 8));
        Add("nlm_fill", "null destination", "destination", api => api.Fill(stream, null, 0, 8));
        Add("nlm_fill", "negative bytes", "bytes", api => api.Fill(stream, memory, 0, -8));
    }

    private delegate StatusCode Launch<T>(NativeApi api, StreamHandle* stream, T* args)
        where T : unmanaged;

    private static void Structs(List<ArgumentCase> cases, Rig rig, Valid valid)
    {
        StreamHandle* stream = rig.Stream.Handle;
        // An argument written with a star: what is wrong are the numbers it points to.
        void Add<T>(string function, Launch<T> launch, T good, params (string What, string Argument, Func<T, T> Spoil)[] spoiled)
            where T : unmanaged
        {
            cases.Add(new(function, "null stream", "stream", api => { T a = good; return (long)launch(api, null, &a); }));
            cases.Add(new(function, "null args", "args", api => (long)launch(api, stream, null)));
            cases.Add(new(function, "an older size", "size", api => { T a = good; *(uint*)&a = 4; return (long)launch(api, stream, &a); }));
            foreach ((string what, string argument, Func<T, T> spoil) in spoiled)
                cases.Add(new(function, what, argument.TrimEnd('*'), api => { T a = spoil(good); return (long)launch(api, stream, &a); },
                    InDeviceMemory: argument.EndsWith('*')));
        }

        Add("nlm_pack_weight", (api, s, a) => api.PackWeight(s, a), valid.Pack,
            ("null packed", "packed", a => a with { Packed = null }), ("null source", "source", a => a with { Source = null }),
            ("unknown type", "type", a => a with { Type = (DType)9 }), ("integer source", "type_source", a => a with { TypeSource = DType.I32 }),
            ("unknown role", "role", a => a with { Role = (WeightRole)5 }), ("negative n", "n", a => a with { N = -1 }),
            ("negative k", "k", a => a with { K = -1 }), ("part past the end", "row_offset", a => a with { RowOffset = 30 }),
            ("negative part", "source_rows", a => a with { SourceRows = -1 }));
        Add("nlm_gemm", (api, s, a) => api.Gemm(s, a), valid.Gemm,
            ("null out", "out", a => a with { Out = null }), ("null x", "x", a => a with { X = null }),
            ("null weight", "weight", a => a with { Weight = null }), ("unknown epilogue", "epilogue", a => a with { Epilogue = (Epilogue)17 }),
            ("negative rows", "rows_max", a => a with { RowsMax = -1 }), ("negative n", "n", a => a with { N = -4 }),
            ("no columns", "k", a => a with { K = 0 }), ("narrow x_stride", "x_stride", a => a with { XStride = 3 }),
            ("narrow out_stride", "out_stride", a => a with { OutStride = 3 }), ("overflowing stride", "x", a => a with { XStride = long.MaxValue / 2 }),
            ("mixed types", "type_x", a => a with { TypeWeight = DType.BF16 }), ("unknown type_x", "type_x", a => a with { TypeX = (DType)8 }),
            ("integer output", "type_out", a => a with { TypeOut = DType.I32 }));
        Add("nlm_embed", (api, s, a) => api.Embed(s, a), valid.Embed,
            ("null out", "out", a => a with { Out = null }), ("null ids", "ids", a => a with { Ids = null }),
            ("null table", "table", a => a with { Table = null }), ("negative rows", "rows_max", a => a with { RowsMax = -1 }),
            ("no vocabulary", "vocabulary", a => a with { Vocabulary = 0 }), ("no columns", "columns", a => a with { Columns = 0 }),
            ("positions missing", "positions", a => a with { PositionTable = a.Table, PositionRows = 2 }),
            ("unknown type", "type_out", a => a with { TypeOut = (DType)7 }), ("integer table", "type_table", a => a with { TypeTable = DType.I32 }));
        Add("nlm_norm", (api, s, a) => api.Norm(s, a), valid.Norm,
            ("null out", "out", a => a with { Out = null }), ("nothing to normalise", "x", a => a with { X = null }),
            ("unknown kind", "kind", a => a with { Kind = (NormKind)3 }), ("negative rows", "rows_max", a => a with { RowsMax = -1 }),
            ("no columns", "columns", a => a with { Columns = 0 }), ("narrow x_stride", "x_stride", a => a with { XStride = 1 }),
            ("narrow out_stride", "out_stride", a => a with { OutStride = 1 }), ("unknown type", "type", a => a with { Type = DType.I32 }),
            ("overflowing stride", "x", a => a with { XStride = long.MaxValue / 2 }), ("negative epsilon", "epsilon", a => a with { Epsilon = -1 }));
        Add("nlm_activate", (api, s, a) => api.Activate(s, a), valid.Activate,
            ("null out", "out", a => a with { Out = null }), ("null x", "x", a => a with { X = null }),
            ("no activation", "kind", a => a with { Kind = Epilogue.None }), ("unknown kind", "kind", a => a with { Kind = (Epilogue)77 }),
            ("negative rows", "rows_max", a => a with { RowsMax = -1 }), ("no columns", "columns", a => a with { Columns = 0 }),
            ("unknown type", "type", a => a with { Type = DType.I32 }));
        Add("nlm_gather_rows", (api, s, a) => api.GatherRows(s, a), valid.Gather,
            ("null out", "out", a => a with { Out = null }), ("null x", "x", a => a with { X = null }),
            ("null indices", "indices", a => a with { Indices = null }), ("negative rows", "rows_max", a => a with { RowsMax = -1 }),
            ("no columns", "columns", a => a with { Columns = 0 }), ("negative x_rows", "x_rows", a => a with { XRows = -1 }),
            ("index past the end", "indices*", a => a with { Indices = valid.HugeIntegers }), ("unknown type", "type", a => a with { Type = (DType)11 }));
        Add("nlm_write_kv", (api, s, a) => api.WriteKv(s, a), valid.WriteKv,
            ("null q_out", "q_out", a => a with { QOut = null }), ("null cache", "cache", a => a with { Cache = null }),
            ("null qkv", "qkv", a => a with { Qkv = null }), ("null slots", "slots", a => a with { Slots = null }),
            ("no heads", "q_head_count", a => a with { QHeadCount = 0 }), ("layer past the end", "layer", a => a with { Layer = 2 }),
            ("slot past the end", "slots*", a => a with { Slots = valid.HugeIntegers }), ("unknown style", "rope_style", a => a with { RopeStyle = (RopeStyle)4 }),
            ("rotation without a table", "rope_table", a => a with { RopeStyle = RopeStyle.HalfSplit, RotaryDim = 8, PositionsMax = 1 }),
            ("rotation wider than a head", "rotary_dim", a => a with { RopeStyle = RopeStyle.HalfSplit, RotaryDim = 10, PositionsMax = 1, RopeTable = (float*)a.Qkv }),
            ("negative rows", "rows_max", a => a with { RowsMax = -1 }), ("unknown type", "type", a => a with { Type = DType.I32 }));
        Add("nlm_paged_attention", (api, s, a) => api.PagedAttention(s, a), valid.Attention,
            ("null out", "out", a => a with { Out = null }), ("null q", "q", a => a with { Q = null }), ("null cache", "cache", a => a with { Cache = null }),
            ("null query_starts", "query_starts", a => a with { QueryStarts = null }), ("null lengths", "lengths", a => a with { Lengths = null }),
            ("null block_tables", "block_tables", a => a with { BlockTables = null }), ("layer past the end", "layer", a => a with { Layer = -1 }),
            ("heads that do not divide", "q_head_count", a => a with { QHeadCount = 0 }), ("split of 63", "split_keys", a => a with { SplitKeys = 63 }),
            ("negative window", "window", a => a with { Window = -1 }), ("lengths past the limit", "lengths*", a => a with { LengthMax = 1 }),
            ("blocks outside the pool", "block_tables*", a => a with { BlockTables = valid.HugeIntegers }),
            ("negative rows", "rows_max", a => a with { RowsMax = -1 }), ("unknown type", "type", a => a with { Type = DType.I32 }));
        Add("nlm_sample", (api, s, a) => api.Sample(s, a), valid.Sample,
            ("null results", "results", a => a with { Results = null }), ("null logits", "logits", a => a with { Logits = null }),
            ("null parameters", "parameters", a => a with { Parameters = null }), ("negative rows", "rows_max", a => a with { RowsMax = -1 }),
            ("no vocabulary", "vocabulary", a => a with { Vocabulary = 0 }), ("narrow logits_stride", "logits_stride", a => a with { LogitsStride = 1 }),
            ("negative alternatives", "top_logprobs_max", a => a with { TopLogprobsMax = -1 }));
        Add("nlm_feed_tokens", (api, s, a) => api.FeedTokens(s, a), valid.Feed,
            ("null ids", "ids", a => a with { Ids = null }), ("null sources", "sources", a => a with { Sources = null }),
            ("null results", "results", a => a with { Results = null }), ("negative rows", "rows_max", a => a with { RowsMax = -1 }),
            ("negative result rows", "result_rows", a => a with { ResultRows = -1 }), ("no vocabulary", "vocabulary", a => a with { Vocabulary = 0 }));
        Add("nlm_beam_topk", (api, s, a) => api.BeamTopk(s, a), valid.Beam,
            ("null candidates", "candidates", a => a with { Candidates = null }), ("null flags", "flags", a => a with { Flags = null }),
            ("null logits", "logits", a => a with { Logits = null }), ("null row_starts", "row_starts", a => a with { RowStarts = null }),
            ("null cumulative", "cumulative", a => a with { Cumulative = null }), ("null workspace", "workspace", a => a with { Workspace = null }),
            ("small workspace", "workspace_bytes", a => a with { WorkspaceBytes = 0 }), ("narrow logits_stride", "logits_stride", a => a with { LogitsStride = 1 }),
            ("negative groups", "groups_max", a => a with { GroupsMax = -1 }), ("negative rows", "rows_max", a => a with { RowsMax = -1 }),
            ("no vocabulary", "vocabulary", a => a with { Vocabulary = 0 }), ("no candidate", "count", a => a with { Count = 0 }),
            ("129 candidates", "count", a => a with { Count = 129 }));
        Add("nlm_count_tokens", (api, s, a) => api.CountTokens(s, a), valid.Count,
            ("null token_counts", "token_counts", a => a with { TokenCounts = null }), ("null prompt_mask", "prompt_mask", a => a with { PromptMask = null }),
            ("null prompt", "prompt", a => a with { Prompt = null }), ("null output", "output", a => a with { Output = null, OutputCount = 1 }),
            ("row past the end", "row", a => a with { Row = 1 }), ("negative count", "prompt_count", a => a with { PromptCount = -1 }),
            ("no vocabulary", "vocabulary", a => a with { Vocabulary = 0 }));

        Size("nlm_gemm_workspace_bytes", "null args", "args", api => api.GemmWorkspaceBytes(null));
        Size("nlm_gemm_workspace_bytes", "negative rows", "rows_max", api => { GemmArgs a = valid.Gemm; a.RowsMax = -1; return api.GemmWorkspaceBytes(&a); });
        Size("nlm_paged_attention_workspace_bytes", "null args", "args", api => api.PagedAttentionWorkspaceBytes(null));
        Size("nlm_paged_attention_workspace_bytes", "negative rows", "rows_max", api => { PagedAttentionArgs a = valid.Attention; a.RowsMax = -1; return api.PagedAttentionWorkspaceBytes(&a); });
        Size("nlm_sample_workspace_bytes", "null args", "args", api => api.SampleWorkspaceBytes(null));
        Size("nlm_sample_workspace_bytes", "negative rows", "rows_max", api => { SampleArgs a = valid.Sample; a.RowsMax = -1; return api.SampleWorkspaceBytes(&a); });
        Size("nlm_beam_topk_workspace_bytes", "null args", "args", api => api.BeamTopkWorkspaceBytes(null));
        Size("nlm_beam_topk_workspace_bytes", "negative rows", "rows_max", api => { BeamTopkArgs a = valid.Beam; a.RowsMax = -1; return api.BeamTopkWorkspaceBytes(&a); });
        Size("nlm_packed_weight_bytes", "unknown type", "type", api => api.PackedWeightBytes(9, 8, 8));
        Size("nlm_packed_weight_bytes", "negative n", "n", api => api.PackedWeightBytes(0, -1, 8));
        Size("nlm_packed_weight_bytes", "no columns", "k", api => api.PackedWeightBytes(0, 8, 0));
        void Size(string function, string what, string argument, Func<NativeApi, long> call) =>
            cases.Add(new(function, what, argument, call, IsSize: true));
    }

    private static void Blocks(List<ArgumentCase> cases, Rig rig, Valid valid)
    {
        StreamHandle* stream = rig.Stream.Handle;
        int* pairs = (int*)rig.HostMemory(64), outside = pairs + 2;
        (pairs[1], outside[1]) = (1, 400);
        // Pairs may lie in device memory too, so only the CPU backend refuses their ids.
        void Copy(string what, string argument, Func<KvCache, KvCache> spoil, int* list, int count) =>
            cases.Add(new("nlm_copy_blocks", what, argument.TrimEnd('*'),
                api => { KvCache c = spoil(*valid.Cache); return (long)api.CopyBlocks(stream, &c, list, count); }, InDeviceMemory: argument.EndsWith('*')));
        void Swap(string what, string argument, void* host, int hostBlocks, int* list, int count, int direction) =>
            cases.Add(new("nlm_swap_blocks", what, argument,
                api => { KvCache c = *valid.Cache; return (long)api.SwapBlocks(stream, &c, host, hostBlocks, list, count, direction); }));
        void Bytes(string what, string argument, Func<KvCache, KvCache> spoil) =>
            cases.Add(new("nlm_kv_block_bytes", what, argument, api => { KvCache c = spoil(*valid.Cache); return api.KvBlockBytes(&c); }, IsSize: true));

        cases.Add(new("nlm_copy_blocks", "null stream", "stream", api => { KvCache c = *valid.Cache; return (long)api.CopyBlocks(null, &c, pairs, 1); }));
        cases.Add(new("nlm_copy_blocks", "null cache", "cache", api => (long)api.CopyBlocks(stream, null, pairs, 1)));
        Copy("null pairs", "pairs", c => c, null, 1);
        Copy("negative count", "pair_count", c => c, pairs, -1);
        Copy("a block outside the pool", "pairs*", c => c, outside, 1);
        Copy("null data", "data", c => c with { Data = null }, pairs, 1);
        cases.Add(new("nlm_swap_blocks", "null stream", "stream", api => { KvCache c = *valid.Cache; return (long)api.SwapBlocks(null, &c, valid.Host, 2, pairs, 1, 0); }));
        Swap("null pool", "host_pool", null, 2, pairs, 1, 0);
        Swap("null pairs", "pairs", valid.Host, 2, null, 1, 0);
        Swap("a block outside the host pool", "pairs", valid.Host, 1, pairs, 1, 0);
        Swap("negative count", "pair_count", valid.Host, 2, pairs, -1, 0);
        Swap("unknown direction", "direction", valid.Host, 2, pairs, 1, 5);
        cases.Add(new("nlm_kv_block_bytes", "null", "cache", api => api.KvBlockBytes(null), IsSize: true));
        Bytes("another size", "size", c => c with { Size = 4 });
        Bytes("blocks of 12", "block_size", c => c with { BlockSize = 12 });
        Bytes("no layers", "layer_count", c => c with { LayerCount = 0 });
        Bytes("no heads", "kv_head_count", c => c with { KvHeadCount = 0 });
        Bytes("no head size", "head_dim", c => c with { HeadDim = 0 });
        Bytes("integers", "type", c => c with { Type = DType.I32 });
    }

    /// <summary>Argument structs that each function accepts: one row, small shapes, fp32.</summary>
    private sealed class Valid
    {
        private readonly void* _memory;
        private readonly int* _zeros;

        public Valid(Rig rig)
        {
            _memory = rig.Memory(1 << 16);
            Host = rig.HostMemory(1 << 16);
            Starts = rig.Integers(0, 1);
            FullLengths = rig.Integers(8, 8);
            Workspace = rig.Memory(1 << 20);
            Parameters = rig.Upload<SampleRow>([SamplerRow.Neutral]);
            Indices = rig.Integers(0, 1, 2, 3);
            _zeros = rig.Integers(new int[64]);
            HugeIntegers = rig.Integers([.. Enumerable.Repeat(1 << 20, 64)]);
            KvCache* cache = (KvCache*)rig.HostMemory(sizeof(KvCache));
            *cache = new() { Size = (uint)sizeof(KvCache), Data = _memory, BlockCount = 4, BlockSize = 8, LayerCount = 2, KvHeadCount = 1, HeadDim = 8 };
            Cache = cache;
        }

        public void* Memory => _memory;

        public void* Host { get; }

        public int* HugeIntegers { get; }

        public KvCache* Cache { get; }

        public PackWeightArgs Pack => new() { Size = (uint)sizeof(PackWeightArgs), Packed = _memory, Source = Host, N = 32, K = 8, SourceRows = 8 };

        public GemmArgs Gemm => new()
        {
            Size = (uint)sizeof(GemmArgs),
            Out = _memory,
            X = _memory,
            Weight = _memory,
            Workspace = Workspace,
            WorkspaceBytes = 1 << 20,
            XStride = 8,
            OutStride = 16,
            RowsMax = 1,
            N = 16,
            K = 8,
        };

        public EmbedArgs Embed => new() { Size = (uint)sizeof(EmbedArgs), Out = _memory, Ids = _zeros, Table = _memory, RowsMax = 1, Vocabulary = 8, Columns = 8, Scale = 1 };

        public NormArgs Norm => new() { Size = (uint)sizeof(NormArgs), Out = _memory, X = _memory, XStride = 8, OutStride = 8, RowsMax = 1, Columns = 8 };

        public ActivateArgs Activate => new() { Size = (uint)sizeof(ActivateArgs), Kind = Epilogue.Relu, Out = _memory, X = _memory, RowsMax = 1, Columns = 8 };

        public GatherRowsArgs Gather => new()
        {
            Size = (uint)sizeof(GatherRowsArgs),
            Out = _memory,
            X = _memory,
            Indices = Indices,
            RowsMax = 1,
            XRows = 4,
            Columns = 8,
        };

        public WriteKvArgs WriteKv => new()
        {
            Size = (uint)sizeof(WriteKvArgs),
            QOut = _memory,
            Cache = Cache,
            Qkv = _memory,
            Positions = _zeros,
            Slots = _zeros,
            RowsMax = 1,
            QHeadCount = 1,
        };

        public PagedAttentionArgs Attention => new()
        {
            Size = (uint)sizeof(PagedAttentionArgs),
            Out = _memory,
            Q = _memory,
            Cache = Cache,
            QueryStarts = Starts,
            Lengths = FullLengths,
            BlockTables = _zeros,
            Workspace = Workspace,
            WorkspaceBytes = 1 << 20,
            RowsMax = 1,
            SequencesMax = 1,
            QHeadCount = 1,
            TableCount = 1,
            TableStride = 1,
            LengthMax = 8,
            Scale = 1,
        };

        public SampleArgs Sample => new()
        {
            Size = (uint)sizeof(SampleArgs),
            Results = (SampleResult*)_memory,
            Logits = (float*)_memory + 2048,
            Parameters = Parameters,
            Workspace = Workspace,
            WorkspaceBytes = 1 << 20,
            RowsMax = 1,
            LogitsStride = 8,
            Vocabulary = 8,
        };

        public CountTokensArgs Count => new()
        {
            Size = (uint)sizeof(CountTokensArgs),
            TokenCounts = (ushort*)_memory,
            PromptMask = (uint*)_memory,
            Prompt = (int*)Host,
            PromptCount = 1,
            CountRows = 1,
            Vocabulary = 8,
        };

        public FeedTokensArgs Feed => new()
        {
            Size = (uint)sizeof(FeedTokensArgs),
            RowsMax = 1,
            Ids = (int*)_memory,
            Sources = _zeros,
            Results = (SampleResult*)_memory + 8,
            ResultRows = 1,
            Vocabulary = 8,
        };

        public BeamTopkArgs Beam => new()
        {
            Size = (uint)sizeof(BeamTopkArgs),
            GroupsMax = 1,
            Candidates = (BeamCandidate*)_memory,
            Flags = (int*)_memory + 1024,
            Logits = (float*)_memory + 2048,
            RowStarts = Starts,
            Cumulative = (float*)_memory + 4096,
            Workspace = Workspace,
            WorkspaceBytes = 1 << 20,
            LogitsStride = 8,
            RowsMax = 1,
            Vocabulary = 8,
            Count = 2,
        };

        private int* Starts { get; }

        private int* FullLengths { get; }

        private int* Indices { get; }

        private void* Workspace { get; }

        private SampleRow* Parameters { get; }
    }
}
