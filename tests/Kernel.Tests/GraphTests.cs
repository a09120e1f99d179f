using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

/// <summary>Capturing and launching from C#, on each backend. Each op under capture is covered by the native tests.</summary>
public sealed unsafe class GraphTests
{
    public static IEnumerable<TheoryDataRow<string>> EachBackend => Targets.EachBackend;

    [Theory, MemberData(nameof(EachBackend))]
    public void A_graph_repeats_its_work_on_what_lies_there_now(string target)
    {
        using Rig rig = new(target);
        int* a = rig.Integers(1, 2, 3, 4), b = rig.Integers(0, 0, 0, 0);
        using DeviceGraph graph = rig.Stream.Capture(() => rig.Ops.Copy(b, a, 16, CopyKind.OnDevice));
        Assert.Equal([0, 0, 0, 0], rig.Download<int>(b, 4));
        rig.Stream.Launch(graph);
        Assert.Equal([1, 2, 3, 4], rig.Download<int>(b, 4));
        rig.Upload(a, [5, 6, 7, 8]);
        rig.Stream.Launch(graph);
        Assert.Equal([5, 6, 7, 8], rig.Download<int>(b, 4));
    }

    [Theory, MemberData(nameof(EachBackend))]
    public void Work_that_throws_leaves_no_graph_and_a_stream_that_goes_on(string target)
    {
        using Rig rig = new(target);
        int* a = rig.Integers(1, 2);
        Assert.Throws<NativeArgumentException>(() => rig.Stream.Capture(rig.Stream.Synchronize));
        Assert.Throws<NativeArgumentException>(() => rig.Stream.Capture(() => rig.Ops.Norm(new NormArgs { RowsMax = 1 })));
        Assert.Throws<InvalidOperationException>(() => rig.Stream.Capture(() => throw new InvalidOperationException("of the caller")));
        using DeviceGraph graph = rig.Stream.Capture(() => rig.Ops.Fill(a, 0, 8));
        rig.Stream.Launch(graph);
        Assert.Equal([0, 0], rig.Download<int>(a, 2));
    }

    [Theory, MemberData(nameof(EachBackend))]
    public void A_stream_waits_for_an_event_of_another(string target)
    {
        using Rig rig = new(target);
        using DeviceStream other = rig.Device.CreateStream();
        using DeviceEvent written = rig.Device.CreateEvent();
        int* a = rig.Integers(1, 2), b = rig.Integers(0, 0);
        rig.Ops.Fill(a, 7, 8);
        written.Record(rig.Stream);
        other.Wait(written);
        other.Ops.Copy(b, a, 8, CopyKind.OnDevice);
        other.Synchronize();
        Assert.Equal([0x07070707, 0x07070707], rig.Download<int>(b, 2));
    }

    [Theory, MemberData(nameof(EachBackend))]
    public void Disposing_a_graph_twice_is_harmless_and_launching_it_afterwards_an_exception(string target)
    {
        using Rig rig = new(target);
        int* a = rig.Integers(1);
        DeviceGraph graph = rig.Stream.Capture(() => rig.Ops.Fill(a, 0, 4));
        graph.Dispose();
        graph.Dispose();
        Assert.Throws<ObjectDisposedException>(() => rig.Stream.Launch(graph));
    }

    [Theory, MemberData(nameof(EachBackend))]
    public void Fed_tokens_come_from_the_results_that_their_rows_name(string target)
    {
        using Rig rig = new(target);
        SampleResult Drawn(int token) => new() { Token = token };
        SampleResult* results = rig.Upload<SampleResult>([Drawn(11), Drawn(-1), Drawn(500), Drawn(13)]);
        int* ids = rig.Integers(90, 91, 92, 93, 94, 95, 96), count = rig.Integers(6);
        rig.Ops.FeedTokens(new FeedTokensArgs
        {
            RowsMax = 7,
            Ids = ids,
            Sources = rig.Integers(3, -1, 0, 1, 2, 4, 0),
            Results = results,
            Rows = count,
            ResultRows = 4,
            Vocabulary = 100,
        });
        // No token and one outside the vocabulary become 0; a source out of range and a row beyond the count change nothing.
        Assert.Equal([13, 91, 11, 0, 0, 95, 96], rig.Download<int>(ids, 7));
    }
}
