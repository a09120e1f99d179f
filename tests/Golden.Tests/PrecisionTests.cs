using NativeLM.Engine;
using NativeLM.Engine.Execution;
using NativeLM.Interop;
using Xunit;

namespace NativeLM.Tests;

/// <summary>Every instruction family and precision of this machine, and the GPU's kernels on the emulator, against the logits of transformers (float32).</summary>
public sealed class PrecisionTests
{
    private const string Model = "llama-gqa";
    private const string Emulated = "emulated";

    public static TheoryData<string, ModelDType, float> Paths()
    {
        TheoryData<string, ModelDType, float> paths = [];
        foreach (string family in (string[])["scalar", "avx2", "avx512", "avx512_bf16", "amx", Emulated])
        {
            paths.Add(family, ModelDType.Float32, 3e-4f);
            // 8 and 11 bits of mantissa against logits with a standard deviation of 3: what the rounding of activations leaves.
            paths.Add(family, ModelDType.BFloat16, 0.25f);
            paths.Add(family, ModelDType.Float16, 0.03f);
        }
        return paths;
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public void Logits_are_those_of_transformers_within_the_precision(string family, ModelDType type, float tolerance)
    {
        string folder = TestData.RequireGolden(Model);
        using ModelRunner runner = Load(folder, family, type);
        foreach (GoldenPrompt prompt in GoldenPrompt.Read(TestData.RequireGolden($"{Model}/goldens.json")))
        {
            StepDriver driver = new(runner);
            driver.Add(prompt.Ids, new SamplingParams { Temperature = 0 }, 1);
            driver.Run();
            ReadOnlySpan<float> found = runner.LastLogits(0);
            float worst = 0;
            for (int i = 0; i < found.Length; i++)
                worst = Math.Max(worst, Math.Abs(found[i] - prompt.LastLogits[i]));
            Assert.True(worst <= tolerance, $"{prompt.Ids.Length} tokens: found a difference of {worst}, needed at most {tolerance}");
        }
    }

    private static ModelRunner Load(string folder, string family, ModelDType type)
    {
        if (family == Emulated)
        {
            Devices.Require(DeviceKind.Emulated);
            return Runners.Load(folder, options => options with { Device = DeviceKind.Emulated, DType = type });
        }
        NativeLibrary library = NativeLibraryLoader.Load(Backend.Cpu);
        if (!Enum.GetValues<Isa>().Any(isa => DeviceSelection.NameOf(isa) == family && library.IsSupported(isa)))
            Assert.Skip($"this machine has no {family}");
        return Runners.Load(folder, options => options with { DType = type, InstructionSet = family });
    }
}
