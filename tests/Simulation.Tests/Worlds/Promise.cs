using System.Runtime.CompilerServices;
using NativeLM.Engine;

namespace NativeLM.Tests.Worlds;

/// <summary>What a world requires. The text is put together only when a promise is broken: there are hundreds of checks in a step.</summary>
internal static class Promise
{
    public static void Hold(bool ok, [InterpolatedStringHandlerArgument(nameof(ok))] Broken found)
    {
        if (!ok)
            throw new InvariantException(found.Text);
    }

    public static void Hold(bool ok, string found)
    {
        if (!ok)
            throw new InvariantException(found);
    }

    [InterpolatedStringHandler]
    internal ref struct Broken
    {
        private DefaultInterpolatedStringHandler _text;

        public Broken(int literalLength, int formattedCount, bool ok, out bool isBroken)
        {
            isBroken = !ok;
            _text = ok ? default : new DefaultInterpolatedStringHandler(literalLength, formattedCount);
        }

        public string Text => _text.ToStringAndClear();

        public void AppendLiteral(string text) => _text.AppendLiteral(text);

        public void AppendFormatted<T>(T value) => _text.AppendFormatted(value);

        public void AppendFormatted<T>(T value, string format) => _text.AppendFormatted(value, format);
    }
}
