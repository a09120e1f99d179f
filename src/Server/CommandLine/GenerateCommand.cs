using System.CommandLine;
using System.Globalization;
using NativeLM.Engine;

namespace NativeLM.Server.CommandLine;

/// <summary>nativelm generate: continue a prompt in the terminal.</summary>
internal sealed class GenerateCommand
{
    private readonly EngineFlags _engine;
    private readonly SamplingFlags _sampling;
    private readonly Option<string?> _prompt = Flag.Of<string?>("--prompt", "Text to continue. Without it: what comes on standard input.", "-p");
    private readonly Option<string[]> _stop = Flag.Of<string[]>("--stop", "Ends the output before this text; repeat for more.");
    private readonly Option<bool> _quiet = Flag.Of<bool>("--quiet", "Only the output, without the prompt and the figures.", "-q");

    private readonly Option<int?> _count = Flag.Of<int?>("--n", "Outputs to write; the prompt is computed once for all of them. 1 to 128.");
    private readonly Option<int?> _beamWidth = Flag.Of<int?>("--beam-width",
        "Search for the most probable outputs with this many beams instead of drawing; 2 to 128. --n says how many are written, by default all.");
    private readonly Option<float> _lengthPenalty = Flag.With("--length-penalty",
        "Beams: the log-probability is divided by the length to this power. Below 1 favours short outputs; -10 to 10.", 1f);

    private GenerateCommand(Command command)
    {
        _engine = new EngineFlags(command);
        _sampling = new SamplingFlags(command);
        command.Add(_prompt);
        command.Add(_stop);
        command.Add(_quiet);
        command.Add(_count);
        command.Add(_beamWidth);
        command.Add(_lengthPenalty);
    }

    public static Command Build()
    {
        Command command = new("generate", "Continue a prompt in the terminal, without a server.");
        command.SetAction(new GenerateCommand(command).RunAsync);
        command.Teach("""
            nativelm generate --prompt "Once upon a time"
            nativelm generate ./my-model -p "The capital of France is" --temperature 0 -n 16
            nativelm generate -p "The weather today" --n 3 --max-tokens 20
            nativelm generate -p "The weather today" --beam-width 4 --max-tokens 20
            echo "Write a story." | nativelm generate --quiet > story.txt
            """);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
    {
        EngineOptions options = _engine.Read(parsed);
        if (parsed.GetValue(_prompt) is null && !Console.IsInputRedirected)
            throw new UsageException("no prompt: add --prompt TEXT, or pipe text in");
        string prompt = parsed.GetValue(_prompt) ?? (await Console.In.ReadToEndAsync(cancellation)).TrimEnd('\n');
        await using LlmEngine engine = EngineLoading.Load(options);
        SamplingParams sampling = Widen(parsed, _sampling.Read(parsed, engine.DefaultSampling));
        int[] ids = engine.Tokenizer.Encode(prompt);
        if (ids.Length == 0)
            throw new UsageException("the prompt has no tokens");
        bool quiet = parsed.GetValue(_quiet);
        if (!quiet)
            Console.Write(prompt);
        if (sampling.N > 1 || sampling.UseBeamSearch)
        {
            Console.WriteLine();
            await TerminalChoices.WriteAsync(engine, ids, sampling, parsed.GetValue(_stop) ?? [], cancellation);
            return CommandLineApp.Success;
        }
        TerminalReply reply = await TerminalReply.WriteAsync(engine, ids, sampling, parsed.GetValue(_stop) ?? [], cancellation);
        Console.WriteLine();
        if (!quiet)
            Console.Error.WriteLine(reply.Figures(ids.Length));
        return CommandLineApp.Success;
    }

    /// <summary>The sampling with --n and --beam-width.</summary>
    private SamplingParams Widen(ParseResult parsed, SamplingParams sampling)
    {
        int? count = parsed.GetValue(_count);
        if (count is not (null or (>= 1 and <= SamplingParams.WidthMax)))
            throw new UsageException($"--n: found {count}, needed 1 to {SamplingParams.WidthMax}");
        if (parsed.GetValue(_beamWidth) is not int width)
            return sampling with { N = count ?? 1 };
        float penalty = parsed.GetValue(_lengthPenalty);
        if (width is < 2 or > SamplingParams.WidthMax)
            throw new UsageException($"--beam-width: found {width}, needed 2 to {SamplingParams.WidthMax}");
        if (count > width)
            throw new UsageException($"--n: found {count}, needed at most --beam-width ({width})");
        if (penalty is not (>= -10 and <= 10))
            throw new UsageException(string.Create(CultureInfo.InvariantCulture, $"--length-penalty: found {penalty}, needed -10 to 10"));
        if (parsed.GetValue(_stop) is { Length: > 0 })
            throw new UsageException("--stop: beams end at end tokens only; remove it or --beam-width");
        return new SamplingParams
        {
            Temperature = 0,
            N = count ?? width,
            BestOf = width,
            UseBeamSearch = true,
            LengthPenalty = penalty,
            MaxTokens = sampling.MaxTokens,
        };
    }
}
