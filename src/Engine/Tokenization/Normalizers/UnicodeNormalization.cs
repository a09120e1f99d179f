using System.Text;

namespace NativeLM.Engine.Tokenization;

/// <summary>Unicode canonical normalization forms (UAX #15): NFD and NFC. Linear time, but for O(n log n) on a run of combining marks.</summary>
internal static class UnicodeNormalization
{
    private const int HangulBase = 0xAC00, LeadBase = 0x1100, VowelBase = 0x1161, TrailBase = 0x11A7;
    private const int VowelCount = 21, TrailCount = 28, HangulCount = 11172;

    private static readonly Dictionary<int, (int First, int Second)> Decompositions = ReadDecompositions();
    private static readonly Dictionary<(int First, int Second), int> Compositions = ReadCompositions();
    private static readonly Dictionary<int, byte> Classes = ReadClasses();

    /// <summary>Canonical composition.</summary>
    public static string ToNfc(string text) => NeedsWork(text) ? Encode(Compose(Decompose(text))) : text;

    /// <summary>Canonical decomposition.</summary>
    public static string ToNfd(string text) => text.AsSpan().IndexOfAnyExceptInRange('\0', '\u00BF') < 0 ? text : Encode(Decompose(text));

    // Everything below U+0300 is its own NFC.
    private static bool NeedsWork(string text) => text.AsSpan().IndexOfAnyExceptInRange('\0', '\u02FF') >= 0;

    private static List<int> Decompose(string text)
    {
        var points = new List<int>(text.Length + 16);
        foreach (Rune rune in text.EnumerateRunes())
            Decompose(rune.Value, points);
        OrderMarks(points);
        return points;
    }

    private static void Decompose(int point, List<int> points)
    {
        if ((uint)(point - HangulBase) < HangulCount)
        {
            int index = point - HangulBase;
            points.Add(LeadBase + index / (VowelCount * TrailCount));
            points.Add(VowelBase + index % (VowelCount * TrailCount) / TrailCount);
            if (index % TrailCount != 0)
                points.Add(TrailBase + index % TrailCount);
            return;
        }
        // Only the first part decomposes again, at most four times in the data, so the seconds fit a small stack.
        Span<int> seconds = stackalloc int[8];
        int depth = 0;
        while (point >= 0xC0 && depth < seconds.Length && Decompositions.TryGetValue(point, out (int First, int Second) parts))
        {
            if (parts.Second != 0)
                seconds[depth++] = parts.Second;
            point = parts.First;
        }
        points.Add(point);
        while (depth > 0)
            points.Add(seconds[--depth]);
    }

    private static void OrderMarks(List<int> points)
    {
        for (int i = 0; i < points.Count; i++)
        {
            if (ClassOf(points[i]) == 0)
                continue;
            int start = i;
            bool sorted = true;
            for (; i < points.Count && ClassOf(points[i]) is byte current and not 0; i++)
                sorted &= i == start || ClassOf(points[i - 1]) <= current;
            if (sorted)
                continue;
            int[] ordered = [.. points.GetRange(start, i - start).OrderBy(ClassOf)]; // stable
            for (int k = 0; k < ordered.Length; k++)
                points[start + k] = ordered[k];
        }
    }

    private static List<int> Compose(List<int> points)
    {
        int starter = -1, length = 0;
        int lastClass = -1; // of the mark kept last after the starter; -1: none
        for (int i = 0; i < points.Count; i++)
        {
            int point = points[i];
            int current = ClassOf(point);
            bool blocked = lastClass >= 0 && (lastClass == 0 || lastClass >= current);
            if (starter >= 0 && !blocked && TryCompose(points[starter], point, out int composed))
            {
                points[starter] = composed;
                continue;
            }
            if (current == 0)
            {
                starter = length;
                lastClass = -1;
            }
            else
                lastClass = current;
            points[length++] = point;
        }
        points.RemoveRange(length, points.Count - length);
        return points;
    }

    private static bool TryCompose(int first, int second, out int composed)
    {
        if ((uint)(first - LeadBase) < 19 && (uint)(second - VowelBase) < VowelCount)
        {
            composed = HangulBase + ((first - LeadBase) * VowelCount + second - VowelBase) * TrailCount;
            return true;
        }
        if ((uint)(first - HangulBase) < HangulCount && (first - HangulBase) % TrailCount == 0 && (uint)(second - TrailBase - 1) < TrailCount - 1)
        {
            composed = first + second - TrailBase;
            return true;
        }
        return Compositions.TryGetValue((first, second), out composed);
    }

    private static byte ClassOf(int point) => point >= 0x300 && Classes.TryGetValue(point, out byte value) ? value : (byte)0;

    private static string Encode(List<int> points)
    {
        var builder = new StringBuilder(points.Count + 16);
        Span<char> pair = stackalloc char[2];
        foreach (int point in points)
            builder.Append(pair[..new Rune(point).EncodeToUtf16(pair)]);
        return builder.ToString();
    }

    private static Dictionary<int, (int, int)> ReadDecompositions()
    {
        ReadOnlySpan<int> data = UnicodeNormalizationData.Decompositions;
        var map = new Dictionary<int, (int, int)>(data.Length / 3);
        for (int i = 0; i < data.Length; i += 3)
            map.Add(data[i], (data[i + 1], data[i + 2]));
        return map;
    }

    private static Dictionary<(int, int), int> ReadCompositions()
    {
        var map = new Dictionary<(int, int), int>(Decompositions.Count);
        foreach ((int composed, (int first, int second)) in Decompositions)
            if (second != 0 && UnicodeNormalizationData.CompositionExclusions.BinarySearch(composed) < 0)
                map.Add((first, second), composed);
        return map;
    }

    private static Dictionary<int, byte> ReadClasses()
    {
        ReadOnlySpan<int> data = UnicodeNormalizationData.CombiningClasses;
        var map = new Dictionary<int, byte>(1024);
        for (int i = 0; i < data.Length; i += 3)
            for (int k = 0; k < data[i + 1]; k++)
                map.Add(data[i] + k, (byte)data[i + 2]);
        return map;
    }
}
