using Microsoft.Win32.SafeHandles;

namespace NativeLM.Engine.Models;

/// <summary>
/// The folder of a model. Files are opened by plain name only, and a link may not lead out of the folder, except into the
/// <c>blobs</c> folder of a Hugging Face cache (<c>snapshots/REVISION</c> holds links to <c>../../blobs/HASH</c>).
/// </summary>
internal sealed class ModelFolder
{
    private readonly string _root;
    private readonly string? _blobs;

    public ModelFolder(string path)
    {
        DirectoryInfo folder = new(path);
        if (!folder.Exists)
            throw new ModelLoadException(path, File.Exists(path)
                ? "found a file, needed the folder that holds config.json, *.safetensors and tokenizer.json"
                : "found no such folder, needed one with config.json, *.safetensors and tokenizer.json");
        Path = path;
        _root = Resolve(folder);
        DirectoryInfo? parent = Directory.GetParent(_root);
        if (parent is { Name: "snapshots", Parent: not null })
            _blobs = System.IO.Path.Combine(parent.Parent.FullName, "blobs");
    }

    /// <summary>The path as the user gave it, for messages.</summary>
    public string Path { get; }

    /// <summary>Path of a file for messages.</summary>
    public string Name(string file) => System.IO.Path.Combine(Path, file);

    public bool Has(string file) => File.Exists(System.IO.Path.Combine(_root, file));

    /// <summary>Opens a file for positioned reads.</summary>
    public SafeFileHandle Open(string file)
    {
        string path = Confined(file);
        try
        {
            return File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read, FileOptions.None);
        }
        catch (Exception cause) when (cause is IOException or UnauthorizedAccessException)
        {
            throw new ModelLoadException(Name(file), $"cannot be read: {cause.Message}", cause);
        }
    }

    /// <summary>The whole of a small file.</summary>
    public byte[] ReadAll(string file, int bytesMax)
    {
        using SafeFileHandle handle = Open(file);
        long length = RandomAccess.GetLength(handle);
        if (length > bytesMax)
            throw new ModelLoadException(Name(file), $"found {length} bytes, needed at most {bytesMax}");
        byte[] content = new byte[length];
        int done = 0;
        while (done < content.Length)
        {
            int count = RandomAccess.Read(handle, content.AsSpan(done), done);
            if (count == 0)
                throw new ModelLoadException(Name(file), $"found {done} bytes where its length said {length}: it changed while it was read");
            done += count;
        }
        return content;
    }

    private string Confined(string file)
    {
        if (file.Length is 0 or > 255 || file is "." or ".." || file.AsSpan().IndexOfAny("/\\\0") >= 0)
            throw new ModelLoadException(Path, $"found the file name '{Clip(file)}', needed a plain name inside the folder");
        FileInfo info = new(System.IO.Path.Combine(_root, file));
        if (!info.Exists)
            throw new ModelLoadException(Name(file), "found no such file, needed it");
        string target = Resolve(info);
        if (!IsInside(target, _root) && !(_blobs is not null && IsInside(target, _blobs)))
            throw new ModelLoadException(Name(file), $"found a link to {target}, needed a file inside the model's folder");
        return target;
    }

    private static string Resolve(FileSystemInfo entry)
    {
        try
        {
            return (entry.ResolveLinkTarget(returnFinalTarget: true) ?? entry).FullName.TrimEnd('/');
        }
        catch (IOException cause)
        {
            throw new ModelLoadException(entry.FullName, $"cannot be resolved: {cause.Message}", cause);
        }
    }

    private static bool IsInside(string path, string folder) =>
        path.StartsWith(folder + System.IO.Path.DirectorySeparatorChar, StringComparison.Ordinal);

    internal static string Clip(string text) => text.Length <= 80 ? text : string.Concat(text.AsSpan(0, 80), "…");
}
