using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests.Kernel;

/// <summary>Every exported function refuses bad arguments with a status and a message that names symbol and argument; none faults.</summary>
public sealed unsafe class ArgumentTests
{
    // These take no argument that could be wrong: they report facts about the library, or a wrong argument is simply answered with 0.
    private static readonly HashSet<string> WithoutErrors =
        ["nlm_abi_version", "nlm_abi_hash", "nlm_backend_kind", "nlm_last_error", "nlm_isa_supported"];

    public static TheoryData<string> Functions => [.. NativeApi.Exports.Where(e => !WithoutErrors.Contains(e))];

    [Fact]
    public void Every_export_has_error_cases()
    {
        using Rig rig = new("cpu/scalar");
        HashSet<string> covered = [.. ArgumentCases.All(rig).Select(c => c.Function)];
        Assert.Empty(NativeApi.Exports.Except(covered).Except(WithoutErrors));
        Assert.Empty(covered.Except(NativeApi.Exports));
    }

    [Theory, MemberData(nameof(Functions))]
    public void A_bad_argument_is_refused_by_name(string function)
    {
        using Rig rig = new("cpu/scalar");
        foreach (ArgumentCase test in ArgumentCases.All(rig).Where(c => c.Function == function))
        {
            long result = test.Call(rig.Device.Api);
            string message = Status.LastError(rig.Device.Api);
            bool refused = test.IsSize ? result == -1 : result is (long)StatusCode.InvalidArgument or (long)StatusCode.OutOfMemory;
            Assert.True(refused, $"{function} with {test.What}: found status {result}, needed a refusal");
            Assert.StartsWith(function, message);
            Assert.True(message.Contains(test.Argument, StringComparison.Ordinal),
                $"{function} with {test.What}: the message '{message}' does not name {test.Argument}");
        }
    }

    [Fact]
    public void A_good_call_after_a_refused_one_succeeds()
    {
        using Rig rig = new("cpu/scalar");
        Assert.Throws<NativeArgumentException>(() => rig.Ops.Norm(new NormArgs { RowsMax = 1 }));
        using DeviceBuffer buffer = rig.Device.Allocate(64);
        rig.Ops.Fill(buffer.Pointer, 7, 64);
        Assert.True(buffer.AsSpan<byte>().IndexOfAnyExcept((byte)7) < 0);
    }

    [Fact]
    public void Zero_rows_are_no_work_and_no_error()
    {
        using Rig rig = new("cpu/scalar");
        foreach ((string function, Func<NativeApi, StatusCode> call) in ArgumentCases.ZeroRows(rig))
            Assert.True(call(rig.Device.Api) == StatusCode.Ok, $"{function} with no rows: {Status.LastError(rig.Device.Api)}");
    }
}
