namespace NativeLM.Tests.Worlds;

/// <summary>What can go wrong in a world, or come at a bad moment.</summary>
internal enum Fault
{
    /// <summary>A request that has not run is cancelled.</summary>
    CancelWaiting,
    /// <summary>One whose prompt is being computed is cancelled.</summary>
    CancelPrefill,
    /// <summary>One that draws is cancelled.</summary>
    CancelDecode,
    /// <summary>One that was preempted is cancelled.</summary>
    CancelPreempted,
    /// <summary>One whose blocks are in host memory is cancelled.</summary>
    CancelSwapped,
    /// <summary>One whose result is in flight is cancelled.</summary>
    CancelInFlight,
    /// <summary>Requests are cancelled a second time, and after their end.</summary>
    CancelTwice,
    /// <summary>One of several sequences is cancelled.</summary>
    CancelSequence,
    /// <summary>Everything is cancelled at once.</summary>
    CancelAll,
    /// <summary>One row of a step fails.</summary>
    RowFails,
    /// <summary>A whole step fails when it is collected.</summary>
    StepFails,
    /// <summary>A step cannot be launched.</summary>
    LaunchFails,
    /// <summary>A step takes as long as a hundred.</summary>
    SlowStep,
    /// <summary>The clock jumps by an hour.</summary>
    ClockJump,
    /// <summary>A whole queue arrives at once.</summary>
    Burst,
    /// <summary>Nothing arrives until all is done.</summary>
    Drain,
    /// <summary>The first token drawn is an end token.</summary>
    EndsAtOnce,
    /// <summary>The token that ends it is the first, or the last, of a block.</summary>
    EndsAtBlockEdge,
    /// <summary>Prompt and output fill the context.</summary>
    FillsContext,
    /// <summary>One request needs every block of the pool.</summary>
    FillsPool,
    /// <summary>A request could need more blocks than there are, and is refused.</summary>
    NeverFits,
    /// <summary>A prompt is a whole number of blocks.</summary>
    PromptAtBlockEdge,
    /// <summary>A prompt that was seen before comes again under another salt.</summary>
    SaltChange,
    /// <summary>The prefix cache forgets everything.</summary>
    CacheReset,
    /// <summary>A prefix is registered by name.</summary>
    PrefixRegistered,
    /// <summary>A registered prefix is released, perhaps before it was computed.</summary>
    PrefixReleased,
    /// <summary>A request whose deadline has passed when it arrives.</summary>
    DeadlinePassed,
}
