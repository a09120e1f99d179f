using System.Net.Sockets;
using System.Text;

namespace NativeLM.Server.Tests;

/// <summary>A TCP connection that sends exactly the bytes it is given: for requests no HTTP client would write.</summary>
internal sealed class RawConnection : IDisposable
{
    private readonly Socket _socket;

    public RawConnection(Uri address)
    {
        _socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        _socket.Connect(address.Host, address.Port);
    }

    public Socket Socket => _socket;

    /// <summary>Sends text as Latin-1, so that any byte can be written.</summary>
    public void Send(string text) => _socket.Send(Encoding.Latin1.GetBytes(text));

    /// <summary>Sends, then reads until the server closes, falls silent for the time given, or has answered completely.</summary>
    public string Exchange(string text, int silenceMs = 2000)
    {
        try
        {
            Send(text);
        }
        catch (SocketException)
        {
            // The server may answer and close before everything is sent.
        }
        return Read(silenceMs);
    }

    public string Read(int silenceMs = 2000)
    {
        _socket.ReceiveTimeout = silenceMs;
        byte[] buffer = new byte[64 << 10];
        StringBuilder answer = new();
        while (!IsComplete(answer))
        {
            try
            {
                int count = _socket.Receive(buffer);
                if (count == 0)
                    break;
                answer.Append(Encoding.Latin1.GetString(buffer, 0, count));
            }
            catch (SocketException)
            {
                break;
            }
        }
        return answer.ToString();
    }

    /// <summary>Ends the connection with RST.</summary>
    public void Reset()
    {
        _socket.LingerState = new LingerOption(true, 0);
        _socket.Dispose();
    }

    public void Dispose() => _socket.Dispose();

    /// <summary>The status code of an answer, or 0 if the server closed without one.</summary>
    public static int Status(string answer) => answer.StartsWith("HTTP/1.1 ", StringComparison.Ordinal)
        ? int.Parse(answer.AsSpan(9, 3), System.Globalization.CultureInfo.InvariantCulture) : 0;

    private static bool IsComplete(StringBuilder answer)
    {
        string text = answer.ToString();
        int end = text.IndexOf("\r\n\r\n", StringComparison.Ordinal);
        if (end < 0)
            return false;
        int length = text.IndexOf("Content-Length: ", StringComparison.OrdinalIgnoreCase);
        if (length < 0 || length > end)
            return text.EndsWith("0\r\n\r\n", StringComparison.Ordinal);
        int bytes = int.Parse(text.AsSpan(length + 16, text.IndexOf('\r', length) - length - 16), System.Globalization.CultureInfo.InvariantCulture);
        return text.Length >= end + 4 + bytes;
    }
}
