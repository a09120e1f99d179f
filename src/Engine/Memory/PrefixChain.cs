namespace NativeLM.Engine.Memory;

/// <summary>Where a walk along indexed blocks stands.</summary>
/// <param name="Hash">Keyed hash of the salt and of all tokens so far.</param>
/// <param name="Serial">Number of the index entry of the last block, which no other entry ever has; 0 before the first block.</param>
internal readonly record struct PrefixChain(UInt128 Hash, long Serial);
