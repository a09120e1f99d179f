using NativeLM.Engine;
using NativeLM.Engine.Scheduling;

namespace NativeLM.Tests.Worlds;

/// <summary>
/// What kind of world a seed gives. Every feature is off in some worlds and rare or frequent in others, so that each meets every other
/// alone as well as in the crowd (swarm testing: Groce et al., ISSTA 2012).
/// </summary>
internal sealed record WorldSettings
{
    private static readonly int[] Vocabularies = [17, 61, 251, 997]; // primes: see ToyModel.Candidate

    public required SchedulerLimits Limits { get; init; }

    /// <summary>Each step is launched before the one before is collected.</summary>
    public bool IsAsync { get; init; }

    public int Vocabulary { get; init; } = 251;

    /// <summary>Longest sequence, prompt and output.</summary>
    public int ContextMax { get; init; } = 100;

    /// <summary>Most sequences of a request.</summary>
    public int WidthMax { get; init; } = 1;

    /// <summary>Share of requests with several sequences that search with beams.</summary>
    public double BeamShare { get; init; }

    /// <summary>Requests per step.</summary>
    public double ArrivalRate { get; init; } = 0.3;

    /// <summary>Most requests that wait or run.</summary>
    public int LiveMax { get; init; } = 60;

    /// <summary>Share of prompts that begin like another one.</summary>
    public double SharedPromptShare { get; init; }

    public int SaltCount { get; init; } = 1;

    public int KeyCount { get; init; } = 1;

    public int PriorityCount { get; init; } = 1;

    /// <summary>Share of requests with a deadline.</summary>
    public double DeadlineShare { get; init; }

    /// <summary>Probability per step of each fault; those that are absent never happen.</summary>
    public IReadOnlyDictionary<Fault, double> Faults { get; init; } = new Dictionary<Fault, double>();

    /// <summary>The settings of a seed.</summary>
    public static WorldSettings Of(Random random)
    {
        int blockSize = Pick(random, 1, 2, 4, 8, 16);
        int usable = random.Next(2) == 0 ? random.Next(8, 40) : random.Next(16, 257);
        int sequencesMax = random.Next(1, 25);
        int contextMax = Math.Min(random.Next(8, 300), usable * blockSize);
        bool chunks = random.Next(8) > 0;
        Reservation reservation = random.Next(8) > 0 ? Reservation.None : Pick(random, Enum.GetValues<Reservation>());
        SchedulerLimits limits = new()
        {
            BlockCount = usable + 1,
            BlockSize = blockSize,
            SequencesMax = sequencesMax,
            TokensMax = sequencesMax + blockSize + random.Next(0, 3) * random.Next(0, 100) + (chunks ? 0 : contextMax),
            HostBlockCount = Pick(random, 0, random.Next(1, 10), usable, 2 * usable),
            PrefixCaching = random.Next(4) > 0,
            PrefixHashSeed = (ulong)random.NextInt64(),
            PreemptionMode = Pick(random, Enum.GetValues<PreemptionMode>()),
            Costs = new PreemptionCosts(stepSeconds: 1, secondsPerToken: random.NextDouble(), secondsPerCopy: 1, secondsPerBlock: random.NextDouble()),
            Watermark = Pick(random, 0, 0.01, 0.1),
            OvertakesMax = random.Next(0, 5),
            SeparatesPrefills = random.Next(8) == 0,
            ChunksPrefills = chunks,
            Reservation = reservation,
            ContextMax = contextMax,
        };
        WorldSettings settings = new()
        {
            Limits = limits,
            IsAsync = random.Next(2) == 0,
            Vocabulary = Pick(random, Vocabularies),
            ContextMax = contextMax,
            WidthMax = reservation == Reservation.None ? Math.Min(sequencesMax, Pick(random, 1, 2, 4)) : 1,
            BeamShare = Pick(random, 0, 0.5, 1),
            ArrivalRate = Math.Pow(10, -2 * random.NextDouble()),
            SharedPromptShare = Pick(random, 0, 0.5, 0.9),
            SaltCount = Pick(random, 1, 1, 2),
            KeyCount = Pick(random, 1, 1, 2, 3),
            PriorityCount = Pick(random, 1, 3),
            DeadlineShare = Pick(random, 0, 0, 0.2),
            Faults = Enum.GetValues<Fault>().Where(_ => random.Next(2) == 0).ToDictionary(fault => fault, fault => Likelihood(fault) * random.NextDouble()),
        };
        return random.Next(3) == 0 ? settings.Crowded(random) : settings;
    }


    /// <summary>The same with requests of several sequences in a pool that is too small for two of them: they are preempted over and over.</summary>
    private WorldSettings Crowded(Random random)
    {
        int blockSize = Pick(random, 1, 2, 4), usable = random.Next(8, 24), sequencesMax = random.Next(4, 12);
        return this with
        {
            Limits = Limits with
            {
                BlockCount = usable + 1,
                BlockSize = blockSize,
                SequencesMax = sequencesMax,
                TokensMax = sequencesMax + blockSize,
                HostBlockCount = random.Next(3) * usable,
                Watermark = 0,
                SeparatesPrefills = false,
                ChunksPrefills = true,
                Reservation = Reservation.None,
            },
            ContextMax = usable * blockSize / 2,
            WidthMax = 4,
            BeamShare = Pick(random, 0, 0.3),
            ArrivalRate = 0.5,
            Faults = Faults.Where(fault => Likelihood(fault.Key) > 0.01).ToDictionary(fault => fault.Key, fault => fault.Value / 4)
                .Append(new(Fault.CancelSequence, 0.1)).GroupBy(fault => fault.Key).ToDictionary(group => group.Key, group => group.Last().Value),
        };
    }

    /// <summary>Most often per step. Faults that empty the world are rare, or nothing else would happen.</summary>
    private static double Likelihood(Fault fault) =>
        fault is Fault.CancelAll or Fault.ClockJump or Fault.StepFails or Fault.LaunchFails or Fault.Drain or Fault.Burst ? 0.005 : 0.03;

    private static T Pick<T>(Random random, params T[] values) => values[random.Next(values.Length)];
}
