using NativeLM.Engine;
using NativeLM.Engine.Memory;
using NativeLM.Engine.Scheduling;
using NativeLM.Engine.Sequences;

namespace NativeLM.Tests.Worlds;

/// <summary>Makes the requests of a world: their prompts, lengths, ends, and the awkward ones among them.</summary>
internal sealed class RequestFactory
{
    private const int RememberedMax = 30;

    private readonly Random _random;
    private readonly WorldSettings _settings;
    private readonly Scheduler _scheduler;
    private readonly VirtualClock _clock;
    private readonly FaultDice _dice;
    private readonly List<int[]> _remembered = []; // token sequences that other prompts begin like
    private long _arrivals;

    public RequestFactory(Random random, WorldSettings settings, Scheduler scheduler, VirtualClock clock, FaultDice dice)
    {
        (_random, _settings, _scheduler, _clock, _dice) = (random, settings, scheduler, clock, dice);
        Keys = [.. Enumerable.Range(0, settings.KeyCount).Select(i => new KeyQueue($"key {i}", weight: 1 << i))];
    }

    public IReadOnlyList<KeyQueue> Keys { get; }

    /// <summary>Keeps tokens for prompts that begin like them.</summary>
    public void Remember(ReadOnlySpan<int> tokens)
    {
        if (_remembered.Count < RememberedMax)
            _remembered.Add(tokens.ToArray());
        else
            _remembered[_random.Next(RememberedMax)] = tokens.ToArray();
    }

    /// <summary>The next request, or null if the scheduler rightly refuses what came to mind.</summary>
    public Request? Next()
    {
        SamplingParams sampling = Sampling();
        int context = (int)Math.Min(_settings.ContextMax, (long)FreeOfPins * _settings.Limits.BlockSize);
        bool fillsPool = sampling.Width == 1 && _settings.Limits.Reservation == Reservation.None && _dice.Hits(Fault.FillsPool, FaultDice.PerRequest);
        if (fillsPool)
            context = (int)Math.Min(4096, (long)FreeOfPins * _settings.Limits.BlockSize);
        if (context < 2)
            return null;
        bool otherSalt = _remembered.Count > 0 && _dice.Hits(Fault.SaltChange, FaultDice.PerRequest);
        int[] prompt = Prompt(context - 1, otherSalt);
        bool fills = fillsPool || _dice.Hits(Fault.FillsContext, FaultDice.PerRequest);
        int output = fills ? context - prompt.Length + (fillsPool ? 1 : 0) : _random.Next(1, context - prompt.Length + 1);
        ulong seed = (ulong)_random.NextInt64();
        SequenceGroup group = new(new Sequence(_arrivals++, prompt, sampling, seed, output, EndIds(prompt, output, seed)))
        {
            Priority = _random.Next(_settings.PriorityCount),
            Deadline = Deadline(),
            Salt = otherSalt ? (UInt128)(ulong)_random.NextInt64() : (UInt128)(uint)_random.Next(_settings.SaltCount),
            Key = Keys[_random.Next(Keys.Count)],
            Sharing = _random.Next(3) == 0 ? new SharingMeter() : null,
        };
        Remember(prompt);
        return _scheduler.Refusal(group) is null ? new Request(group, _settings.Vocabulary) : null;
    }

    /// <summary>A request that needs one block more than there are beside registered prefixes, and is refused with the numbers.</summary>
    public void RequireRefusal()
    {
        long tokens = (long)FreeOfPins * _settings.Limits.BlockSize + 2; // the last token is not stored
        SequenceGroup group = new(new Sequence(_arrivals, RandomTokens(1), new SamplingParams(), seed: 0, (int)(tokens - 1)));
        string? refusal = _settings.Limits.Reservation == Reservation.None ? _scheduler.Refusal(group) : "";
        Promise.Hold(refusal is not null, $"a request of {tokens} tokens is admitted where {FreeOfPins} blocks are left");
    }

    /// <summary>A prefix to register: it draws one token, which nobody reads. Null if there is no room for it.</summary>
    public Request? NextPrefix()
    {
        int blockSize = _settings.Limits.BlockSize, blocks = _random.Next(1, 5);
        if (blocks * blockSize >= Math.Min(_settings.ContextMax, FreeOfPins * blockSize / 2))
            return null;
        int[] prompt = Prompt(_settings.ContextMax - 1, again: false);
        if (prompt.Length < blockSize)
            prompt = RandomTokens(blocks * blockSize);
        SequenceGroup group = new(new Sequence(_arrivals++, prompt, new SamplingParams(), seed: 0, maxOutputCount: 1))
        {
            Salt = (UInt128)(uint)_random.Next(_settings.SaltCount),
            Key = Keys[0],
            Pin = new PinnedPrefix($"prefix {_arrivals}", prompt.Length / blockSize),
        };
        Remember(prompt);
        return _scheduler.Refusal(group) is null ? new Request(group, _settings.Vocabulary) : null;
    }

    private int FreeOfPins => _scheduler.Blocks.Pool.UsableCount - _scheduler.Pins.All.Sum(pin => pin.BlockCount);

    private SamplingParams Sampling()
    {
        int width = _random.Next(1, _settings.WidthMax + 1);
        if (width == 1 || _random.NextDouble() >= _settings.BeamShare)
            return new SamplingParams { N = width };
        return new SamplingParams
        {
            N = width,
            UseBeamSearch = true,
            LengthPenalty = _random.Next(-1, 3),
            EarlyStopping = (EarlyStopping)_random.Next(3),
        };
    }

    private int[] Prompt(int most, bool again)
    {
        int length = _random.Next(1, most + 1);
        if (_dice.Hits(Fault.PromptAtBlockEdge, FaultDice.PerRequest) && length > _settings.Limits.BlockSize)
            length -= length % _settings.Limits.BlockSize;
        if (_remembered.Count == 0 || !(again || _random.NextDouble() < _settings.SharedPromptShare))
            return RandomTokens(length);
        int[] like = _remembered[_random.Next(_remembered.Count)];
        int common = Math.Min(length, _random.Next(2) == 0 ? like.Length : _random.Next(1, like.Length + 1));
        return [.. like[..common], .. RandomTokens(_random.Next(3) == 0 ? 0 : length - common)];
    }

    private int[] RandomTokens(int count)
    {
        int[] tokens = new int[count];
        for (int i = 0; i < count; i++)
            tokens[i] = _random.Next(_settings.Vocabulary);
        return tokens;
    }

    private long Deadline()
    {
        if (_dice.Hits(Fault.DeadlinePassed, FaultDice.PerRequest))
            return _clock.GetTimestamp();
        return _random.NextDouble() < _settings.DeadlineShare
            ? _clock.GetTimestamp() + TimeSpan.FromMilliseconds(_random.Next(1, 300)).Ticks
            : long.MaxValue;
    }

    /// <summary>Tokens that end the output, sometimes known to come at once or at the edge of a block.</summary>
    private int[] EndIds(int[] prompt, int output, ulong seed)
    {
        if (_dice.Hits(Fault.EndsAtOnce, FaultDice.PerRequest))
            return [DrawnAfter(prompt, seed, 1)];
        int blockSize = _settings.Limits.BlockSize, toEdge = blockSize - prompt.Length % blockSize + _random.Next(2);
        if (toEdge <= output && _dice.Hits(Fault.EndsAtBlockEdge, FaultDice.PerRequest))
            return [DrawnAfter(prompt, seed, toEdge)];
        int[] ids = new int[_random.Next(2) * _random.Next(1, 4)];
        for (int i = 0; i < ids.Length; i++)
            ids[i] = _random.Next(_settings.Vocabulary);
        return [.. ids.Distinct()];
    }

    private int DrawnAfter(int[] prompt, ulong seed, int count)
    {
        Alone alone = new(prompt, count, seed, [], _settings.Vocabulary);
        int token = 0;
        for (int i = 0; i < count; i++)
            token = alone.Draw();
        return token;
    }
}
