using NativeLM.Engine.Memory;

namespace NativeLM.Engine;

/// <summary>Refuses requests that are malformed or could never finish, before anything is paid for them. Any thread.</summary>
internal static class RequestValidation
{
    private const int NameLengthMax = 256;
    private static readonly TimeSpan DeadlineMax = TimeSpan.FromDays(1);

    /// <summary>Checks a request and returns the most tokens its output may have, at least 1.</summary>
    /// <param name="request">The request.</param>
    /// <param name="info">The engine.</param>
    /// <param name="usableBlocks">KV blocks that a request can have: those of the pool without those of registered prefixes.</param>
    /// <exception cref="RequestRejectedException">It names the parameter, what was found and what is needed.</exception>
    public static int OutputMax(GenerationRequest request, EngineInfo info, int usableBlocks)
    {
        CheckPrompt(request.PromptIds.Span, info);
        request.Sampling.Validate(info.VocabularySize);
        CheckNames(request);
        CheckWidth(request.Sampling, info);
        int prompt = request.PromptIds.Length;
        long context = info.MaxModelLength - prompt;
        if (request.Sampling.MaxTokens is not int asked)
            return (int)Math.Min(context, FitsPool(request, 1, info, usableBlocks));
        if (asked > context)
            throw new RequestRejectedException(RejectionKind.ContextLengthExceeded,
                $"{prompt} prompt tokens and max_tokens {asked} make {(long)prompt + asked}, the context is {info.MaxModelLength} tokens", "max_tokens");
        FitsPool(request, asked, info, usableBlocks);
        return asked;
    }

    private static void CheckPrompt(ReadOnlySpan<int> prompt, EngineInfo info)
    {
        if (prompt.IsEmpty)
            throw new RequestRejectedException(RejectionKind.InvalidValue, "the prompt has no tokens, needed at least 1", "prompt");
        if (prompt.Length >= info.MaxModelLength)
            throw new RequestRejectedException(RejectionKind.ContextLengthExceeded,
                $"the prompt has {prompt.Length} tokens, the context of {info.MaxModelLength} leaves room for {info.MaxModelLength - 1}", "prompt");
        foreach (int id in prompt)
            if ((uint)id >= (uint)info.VocabularySize)
                throw new RequestRejectedException(RejectionKind.InvalidValue,
                    $"token id {id} is not in the vocabulary: ids are 0 to {info.VocabularySize - 1}", "prompt");
    }

    private static void CheckNames(GenerationRequest request)
    {
        if (request.CacheSalt is { Length: 0 or > NameLengthMax })
            throw new RequestRejectedException(RejectionKind.InvalidValue,
                $"cache_salt: found {request.CacheSalt.Length} characters, needed 1 to {NameLengthMax}", "cache_salt");
        if (request.Deadline is TimeSpan deadline && (deadline <= TimeSpan.Zero || deadline > DeadlineMax))
            throw new RequestRejectedException(RejectionKind.InvalidValue,
                $"deadline_ms: found {deadline.TotalMilliseconds:0}, needed 1 to {DeadlineMax.TotalMilliseconds:0}", "deadline_ms");
    }

    private static void CheckWidth(SamplingParams sampling, EngineInfo info)
    {
        string parameter = sampling.BestOf is null ? "n" : "best_of";
        if (sampling.Width > info.MaxSequences)
            throw new RequestRejectedException(RejectionKind.InvalidValue,
                $"{parameter}: found {sampling.Width}, needed at most {info.MaxSequences}, the sequences of a step (--max-num-seqs)", parameter);
    }

    /// <summary>The longest output that fits the whole pool with this prompt; refuses if that is below what is needed.</summary>
    private static long FitsPool(GenerationRequest request, int output, EngineInfo info, int usable)
    {
        int prompt = request.PromptIds.Length, width = request.Sampling.Width;
        long longest = KvDemand.OutputMaxThatFits(prompt, width, usable, info.BlockSize);
        if (output <= longest)
            return longest;
        long blocks = KvDemand.BlocksMax(prompt, output, width, info.BlockSize), shared = prompt / info.BlockSize;
        string sum = width == 1 ? "" : $" ({shared} shared + {width} sequences x {(blocks - shared) / width})";
        string reserved = usable < info.BlockCount - 1 ? $" beside the {info.BlockCount - 1 - usable} of registered prefixes" : "";
        string advice = longest >= 1 ? $"lower max_tokens to {longest}" : "shorten the prompt";
        throw new RequestRejectedException(RejectionKind.KvCapacityExceeded,
            $"{prompt} prompt tokens and {output} output tokens can need {blocks} KV blocks of {info.BlockSize} tokens{sum}, the pool has {usable}{reserved}; "
            + $"{advice}{(width > 1 ? ", lower n" : "")} or raise --kv-cache-memory",
            longest >= 1 ? "max_tokens" : "prompt");
    }
}
