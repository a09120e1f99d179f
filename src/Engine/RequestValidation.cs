using NativeLM.Engine.Memory;

namespace NativeLM.Engine;

/// <summary>Refuses requests that are malformed or could never finish, before anything is paid for them. Any thread.</summary>
internal static class RequestValidation
{
    /// <summary>Checks a request and returns the most tokens its output may have, at least 1.</summary>
    /// <exception cref="RequestRejectedException">It names the parameter, what was found and what is needed.</exception>
    public static int OutputMax(GenerationRequest request, EngineInfo info)
    {
        CheckPrompt(request.PromptIds.Span, info);
        request.Sampling.Validate(info.VocabularySize);
        int prompt = request.PromptIds.Length;
        long context = info.MaxModelLength - prompt;
        if (request.Sampling.MaxTokens is not int asked)
            return (int)Math.Min(context, FitsPool(prompt, 1, info));
        if (asked > context)
            throw new RequestRejectedException(RejectionKind.ContextLengthExceeded,
                $"{prompt} prompt tokens and max_tokens {asked} make {(long)prompt + asked}, the context is {info.MaxModelLength} tokens", "max_tokens");
        FitsPool(prompt, asked, info);
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

    /// <summary>The longest output that fits the whole pool with this prompt; refuses if that is below what is needed.</summary>
    private static long FitsPool(int prompt, int output, EngineInfo info)
    {
        int usable = info.BlockCount - 1;
        long longest = KvDemand.OutputMaxThatFits(prompt, usable, info.BlockSize);
        if (output <= longest)
            return longest;
        throw new RequestRejectedException(RejectionKind.KvCapacityExceeded,
            $"{prompt} prompt tokens and {output} output tokens can need {KvDemand.BlocksMax(prompt, output, info.BlockSize)} KV blocks of " +
            $"{info.BlockSize} tokens, the pool has {usable}; " +
            (longest >= 1 ? $"lower max_tokens to {longest} or raise --kv-cache-memory" : "shorten the prompt or raise --kv-cache-memory"),
            longest >= 1 ? "max_tokens" : "prompt");
    }
}
