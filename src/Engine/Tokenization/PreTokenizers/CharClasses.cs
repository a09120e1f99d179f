using System.Globalization;
using System.Text;

namespace NativeLM.Engine.Tokenization;

/// <summary>The classes that split patterns speak of. A code point has exactly one.</summary>
[Flags]
internal enum CharClass : byte
{
    /// <summary>Lu, Lt.</summary>
    Upper = 1,
    /// <summary>Ll.</summary>
    Lower = 2,
    /// <summary>Lm, Lo.</summary>
    OtherLetter = 4,
    /// <summary>Mn, Mc, Me.</summary>
    Mark = 8,
    /// <summary>Nd, Nl, No.</summary>
    Number = 16,
    /// <summary>White_Space.</summary>
    WhiteSpace = 32,
    /// <summary>Punctuation and symbols.</summary>
    Punctuation = 64,
    /// <summary>Controls, formats, private use, unassigned, lone surrogates.</summary>
    Other = 128,
    /// <summary>\p{L}.</summary>
    Letter = Upper | Lower | OtherLetter,
}

/// <summary>Unicode classes of code points by table lookup.</summary>
internal static class CharClasses
{
    private static readonly CharClass[] Table = BuildTable(); // [65536]

    /// <summary>Class of one UTF-16 unit.</summary>
    public static CharClass Of(char c) => Table[c];

    /// <summary>Whether a UTF-16 unit is white space (no white space lies beyond the BMP).</summary>
    public static bool IsWhiteSpace(char c) => Table[c] == CharClass.WhiteSpace;

    /// <summary>Class and length in UTF-16 units of the code point at <paramref name="at"/>.</summary>
    public static CharClass At(ReadOnlySpan<char> text, int at, out int length)
    {
        char c = text[at];
        length = 1;
        if (!char.IsHighSurrogate(c) || at + 1 >= text.Length || !char.IsLowSurrogate(text[at + 1]))
            return Table[c];
        length = 2;
        return Classify(CharUnicodeInfo.GetUnicodeCategory(char.ConvertToUtf32(c, text[at + 1])));
    }

    private static CharClass[] BuildTable()
    {
        var table = new CharClass[char.MaxValue + 1];
        for (int c = 0; c < table.Length; c++)
            table[c] = char.IsWhiteSpace((char)c) ? CharClass.WhiteSpace : Classify(CharUnicodeInfo.GetUnicodeCategory((char)c));
        return table;
    }

    private static CharClass Classify(UnicodeCategory category) => category switch
    {
        UnicodeCategory.UppercaseLetter or UnicodeCategory.TitlecaseLetter => CharClass.Upper,
        UnicodeCategory.LowercaseLetter => CharClass.Lower,
        UnicodeCategory.ModifierLetter or UnicodeCategory.OtherLetter => CharClass.OtherLetter,
        UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark => CharClass.Mark,
        UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => CharClass.Number,
        UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.Surrogate or UnicodeCategory.PrivateUse
            or UnicodeCategory.OtherNotAssigned => CharClass.Other,
        _ => CharClass.Punctuation,
    };
}
