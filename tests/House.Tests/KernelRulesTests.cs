using System.Text.RegularExpressions;
using Xunit;

namespace NativeLM.Tests.House;

/// <summary>
/// Rules that keep the kernels readable by two compilers and free of hidden order: what they may say, and where the few exceptions live.
/// </summary>
public sealed partial class KernelRulesTests
{
    private const string Vocabulary = "device/simt.cuh", Ptx = "device/ptx.cuh", Launch = "device/launch.h", Hopper = "sm90a/hopper.cuh", TensorMap = "sm90a/tensor_map.cu";

    // Name, what is forbidden, a line that breaks the rule, and the files below native/cuda that may.
    private static readonly (string Name, string Pattern, string Example, string[] Except)[] Rules =
    [
        ("toolkit headers", @"#include\s*[<""](?:cuda|cooperative_groups|cub|thrust|mma|nv)[\w/.]*[>""]", "#include <cuda_fp16.h>", [Vocabulary, TensorMap]),
        ("foreign kernels", @"\b(?:cublas|cublasLt|cudnn|cutlass|cute|thrust|cub)\w*\b", "cublasGemmEx(handle)", []),
        ("raw launches", "<<<|>>>", "kernel<<<grid, block>>>(x);", []),
        ("inline assembly", @"\b(?:asm|__asm__)\b", "asm volatile(\"bar.sync 0;\");", [Ptx, Hopper]),
        ("questions about the compiler", @"\b(?:__CUDACC__|__CUDA_ARCH__|__NVCC__|CUDART_VERSION|__CUDACC_VER_MAJOR__)\b", "#ifdef __CUDACC__", [Vocabulary, Ptx, Launch, Hopper, TensorMap, "device.cu"]),
        ("plain shared memory", @"\b__shared__\b", "__shared__ float tile[64];", [Vocabulary, Hopper]),
        ("plain qualifiers", @"\b(?:__global__|__device__|__host__|__forceinline__|__launch_bounds__|__constant__|__managed__)\b", "__device__ int f();", [Vocabulary]),
        ("plain indices", @"\b(?:threadIdx|blockIdx|blockDim|gridDim|warpSize)\b", "int i = threadIdx.x;", [Vocabulary]),
        ("plain synchronisation", @"\b__(?:syncthreads|syncwarp|threadfence|shfl|ballot|any|all|match|reduce|activemask)\w*\b", "__syncthreads();", [Vocabulary]),
        ("plain atomics", @"\batomic(?:Add|Sub|Max|Min|And|Or|Xor|Exch|CAS|Inc|Dec)\w*\b", "atomicAdd(&sum, 1.0f);", [Vocabulary]),
        ("atomics on floats", @"\batomic_\w+<\s*(?:float|double)", "atomic_add<float>(p, 1);", []),
        ("approximate arithmetic", @"\b__(?:expf|logf|powf|sinf|cosf|fdividef|frcp_\w+|fmul_\w+)\b|\bfast_math\b", "__expf(x)", []),
        ("output from kernels", @"(?<!\w)(?:std::)?(?:printf|puts|fprintf|cout|cerr)\b", "printf(\"%d\", i);", []),
        ("allocation", @"\b(?:new\s+\w|delete\s+\w|malloc\(|free\()", "int* p = new int[4];", []),
        ("properties that newer toolkits lack", @"\bcudaDeviceProp\b|\bcudaGetDeviceProperties\b", "cudaGetDeviceProperties(&p, 0);", ["device.cu"]),
        ("fixed mappings between kernels", @"\b(?:cooperative_groups|grid_group|this_grid|cudaLaunchCooperativeKernel)\b", "cooperative_groups::this_grid().sync();", []),
    ];

    public static TheoryData<string> Names => [.. Rules.Select(r => r.Name)];

    [Theory, MemberData(nameof(Names))]
    public void Kernels_do_without(string rule)
    {
        (string _, string pattern, string example, string[] except) = Rules.Single(r => r.Name == rule);
        Regex forbidden = new(pattern);
        Assert.Matches(forbidden, example);
        Assert.DoesNotMatch(forbidden, KernelSources.Blank($"// {example.Replace("\"", "")}\n"));
        List<string> found = [];
        foreach (string file in KernelSources.Files.Where(f => !except.Any(e => f == $"native/cuda/{e}")))
        {
            string[] lines = KernelSources.Code(file).Split('\n');
            found.AddRange(lines.Select((l, i) => (Line: l, Number: i + 1)).Where(l => forbidden.IsMatch(l.Line)).Select(l => $"{file}:{l.Number}: {l.Line.Trim()}"));
        }
        Assert.True(found.Count == 0, string.Join('\n', found));
    }

    [Fact]
    public void Every_exception_exists_and_is_needed()
    {
        List<string> idle = [];
        foreach ((string name, string pattern, string _, string[] except) in Rules)
            foreach (string file in except.Select(e => $"native/cuda/{e}"))
                if (!KernelSources.Files.Contains(file) || !Regex.IsMatch(KernelSources.Code(file), pattern))
                    idle.Add($"{file} needs no exception from: {name}");
        Assert.True(idle.Count == 0, string.Join('\n', idle));
    }

    [Fact]
    public void A_kernel_is_launched_in_the_file_that_instantiates_it()
    {
        Assert.True(KernelSources.Kernels.Count() >= 15, "the kernels were not found");
        List<string> found = [];
        foreach ((string file, string name) in KernelSources.Kernels)
        {
            // A kernel in a header is launched by whoever includes it.
            IEnumerable<string> users = file.EndsWith(".cu", StringComparison.Ordinal) ? [file] : KernelSources.Files.Where(f => f.EndsWith(".cu", StringComparison.Ordinal));
            if (!users.Any(f => Regex.Count(KernelSources.Code(f), $@"\b{name}\b") >= (f == file ? 2 : 1)))
                found.Add($"{file}: {name} is launched nowhere");
        }
        Assert.True(found.Count == 0, string.Join('\n', found));
    }

    [Fact]
    public void Shared_memory_is_one_struct_of_arrays()
    {
        List<string> found = [];
        foreach (string file in KernelSources.Files.Where(f => !f.EndsWith(Vocabulary, StringComparison.Ordinal)))
            found.AddRange(Struct().Matches(KernelSources.Code(file))
                .SelectMany(m => PlainArray().Matches(m.Groups["body"].Value).Select(a => $"{file}: {m.Groups["name"].Value}: {a.Value.Trim()}")));
        Assert.True(found.Count == 0, string.Join('\n', found));
    }

    // Structs of shared memory end in Shared or are called Smem.
    [GeneratedRegex(@"struct\s+(?:alignas\(\d+\)\s+)?(?<name>\w*Shared|Smem)\s*\{(?<body>[^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")]
    private static partial Regex Struct();

    [GeneratedRegex(@"^\s*[\w:<>, ]+\s\w+\[[^\]]+\];", RegexOptions.Multiline)]
    private static partial Regex PlainArray();
}
