using System.Buffers.Binary;
using Microsoft.Win32.SafeHandles;
using NativeLM.Engine.Models;

namespace NativeLM.Engine.Weights;

/// <summary>
/// One open safetensors file. Data is read by position, never mapped: a file that shrinks under us gives an error, not a fault.
/// Reads may come from several threads.
/// </summary>
internal sealed class SafetensorsFile : IDisposable
{
    private readonly SafeFileHandle _handle;

    private SafetensorsFile(SafeFileHandle handle, string path, IReadOnlyList<TensorInfo> tensors)
    {
        _handle = handle;
        Path = path;
        Tensors = tensors;
    }

    /// <summary>For messages.</summary>
    public string Path { get; }

    /// <summary>In the order of the data.</summary>
    public IReadOnlyList<TensorInfo> Tensors { get; }

    public static SafetensorsFile Open(ModelFolder folder, string name)
    {
        string path = folder.Name(name);
        SafeFileHandle handle = folder.Open(name);
        try
        {
            long length = RandomAccess.GetLength(handle);
            byte[] header = ReadHeader(handle, length, path);
            return new SafetensorsFile(handle, path, SafetensorsHeader.Parse(header, length, path));
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    /// <summary>Fills the span from a place in the file; throws if the file has become shorter.</summary>
    public void Read(long offset, Span<byte> destination)
    {
        while (!destination.IsEmpty)
        {
            int count;
            try
            {
                count = RandomAccess.Read(_handle, destination, offset);
            }
            catch (IOException cause)
            {
                throw new ModelLoadException(Path, $"cannot be read at byte {offset}: {cause.Message}", cause);
            }
            if (count == 0)
                throw new ModelLoadException(Path,
                    $"found the end at byte {offset}, needed {destination.Length} more: the file changed while it was read");
            destination = destination[count..];
            offset += count;
        }
    }

    public void Dispose() => _handle.Dispose();

    private static byte[] ReadHeader(SafeFileHandle handle, long fileLength, string path)
    {
        Span<byte> prefix = stackalloc byte[SafetensorsHeader.LengthBytes];
        if (fileLength < prefix.Length || RandomAccess.Read(handle, prefix, 0) != prefix.Length)
            throw new ModelLoadException(path, $"found {fileLength} bytes, needed a safetensors file (8 bytes of header length, header, data)");
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        ulong max = Math.Min((ulong)(fileLength - prefix.Length), SafetensorsHeader.HeaderBytesMax);
        if (length < 2 || length > max)
            throw new ModelLoadException(path, $"found a header of {length} bytes, needed 2 to {max} (a file of {fileLength} bytes)");
        byte[] header = new byte[(int)length];
        int done = 0;
        while (done < header.Length)
        {
            int count = RandomAccess.Read(handle, header.AsSpan(done), prefix.Length + done);
            if (count == 0)
                throw new ModelLoadException(path, "found the end inside the header: the file changed while it was read");
            done += count;
        }
        return header;
    }
}
