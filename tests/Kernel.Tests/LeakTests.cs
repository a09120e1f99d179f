using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

/// <summary>Reads the memory of the whole process, so nothing runs beside it.</summary>
[Collection(nameof(LeakTests))]
[CollectionDefinition(nameof(LeakTests), DisableParallelization = true)]
public sealed class LeakTests
{
    public static IEnumerable<TheoryDataRow<string>> EachBackend => Targets.EachBackend;

    [Theory, MemberData(nameof(EachBackend))]
    public void A_thousand_devices_leave_neither_memory_nor_threads_behind(string target)
    {
        for (int i = 0; i < 100; i++)
            OpenRunClose(target);
        (long memory, int threads) = (Statistic("VmRSS"), (int)Statistic("Threads"));
        for (int i = 0; i < 1000; i++)
            OpenRunClose(target);
        GC.Collect();
        Assert.True(Statistic("VmRSS") - memory < 16 * 1024, $"resident memory grew from {memory} to {Statistic("VmRSS")} KB");
        Assert.True((int)Statistic("Threads") - threads < 8, $"threads grew from {threads} to {Statistic("Threads")}");
    }

    private static void OpenRunClose(string target)
    {
        using Rig rig = new(target, threads: 3);
        LinearLayer layer = new(rig, DType.F32, Numbers.Integers(1, 64 * 64, 2), 64, 64);
        layer.Run(rig.Tensor(DType.F32, Numbers.Integers(2, 64 * 64, 2)), 64).Read();
    }

    private static long Statistic(string name)
    {
        if (!File.Exists("/proc/self/status"))
            Assert.Skip("needs /proc/self/status");
        string line = File.ReadLines("/proc/self/status").First(l => l.StartsWith(name + ":", StringComparison.Ordinal));
        return long.Parse(line.Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[1]);
    }
}
