using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

/// <summary>Every exported function refuses bad arguments with a status and a message that names symbol and argument; none faults.</summary>
public sealed unsafe class ArgumentTests
{
    // These take no argument that could be wrong: they report facts about the library, or a wrong argument is simply answered with 0.
    private static readonly HashSet<string> WithoutErrors =
        ["nlm_abi_version", "nlm_abi_hash", "nlm_backend_kind", "nlm_last_error", "nlm_isa_supported"];

    public static IEnumerable<TheoryDataRow<string>> EachBackend => Targets.EachBackend;

    public static IEnumerable<TheoryDataRow<string, string>> Functions =>
        Targets.EachBackendWith(NativeApi.Exports.Where(e => !WithoutErrors.Contains(e)));

    [Theory, MemberData(nameof(EachBackend))]
    public void Every_export_has_error_cases(string target)
    {
        using Rig rig = new(target);
        HashSet<string> covered = [.. ArgumentCases.All(rig).Select(c => c.Function)];
        Assert.Empty(NativeApi.Exports.Except(covered).Except(WithoutErrors));
        Assert.Empty(covered.Except(NativeApi.Exports));
    }

    [Theory, MemberData(nameof(Functions))]
    public void A_bad_argument_is_refused_by_name(string target, string function)
    {
        using Rig rig = new(target);
        foreach (ArgumentCase test in ArgumentCases.All(rig).Where(c => c.Function == function))
        {
            long result = test.Call(rig.Device.Api);
            string message = Status.LastError(rig.Device.Api);
            if (test.InDeviceMemory && rig.Library.Backend != Backend.Cpu)
            {
                // The host cannot see these numbers: the kernel steps over what is out of range.
                Assert.True(result == (long)StatusCode.Ok, $"{function} with {test.What}: {message}");
                rig.Stream.Synchronize();
                continue;
            }
            bool refused = test.IsSize ? result == -1 : result is (long)StatusCode.InvalidArgument or (long)StatusCode.OutOfMemory;
            Assert.True(refused, $"{function} with {test.What}: found status {result}, needed a refusal");
            Assert.StartsWith(function, message);
            Assert.True(message.Contains(test.Argument, StringComparison.Ordinal),
                $"{function} with {test.What}: the message '{message}' does not name {test.Argument}");
        }
    }

    [Theory, MemberData(nameof(EachBackend))]
    public void A_good_call_after_a_refused_one_succeeds(string target)
    {
        using Rig rig = new(target);
        Assert.Throws<NativeArgumentException>(() => rig.Ops.Norm(new NormArgs { RowsMax = 1 }));
        void* memory = rig.Memory(64);
        rig.Ops.Fill(memory, 7, 64);
        Assert.All(rig.Download<byte>(memory, 64), b => Assert.Equal(7, b));
    }

    [Theory, MemberData(nameof(EachBackend))]
    public void Zero_rows_are_no_work_and_no_error(string target)
    {
        using Rig rig = new(target);
        foreach ((string function, Func<NativeApi, StatusCode> call) in ArgumentCases.ZeroRows(rig))
            Assert.True(call(rig.Device.Api) == StatusCode.Ok, $"{function} with no rows: {Status.LastError(rig.Device.Api)}");
    }

    [Theory, MemberData(nameof(EachBackend))]
    public void The_arguments_that_cases_spoil_are_good_themselves(string target)
    {
        using Rig rig = new(target);
        foreach ((string function, Func<NativeApi, StatusCode> call) in ArgumentCases.GoodCalls(rig))
            Assert.True(call(rig.Device.Api) == StatusCode.Ok, $"{function}: {Status.LastError(rig.Device.Api)}");
        rig.Stream.Synchronize();
    }
}
