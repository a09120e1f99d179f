using NativeLM.Interop;

namespace NativeLM.Engine.Execution;

/// <summary>
/// Decode steps recorded once per batch size and replayed with one call. A step replays the smallest graph that has room; true counts lie
/// in device memory, so the rows beyond them compute nothing. Recorded at start, engine thread only.
/// </summary>
internal sealed class GraphCache : IDisposable
{
    private readonly int[] _buckets;
    private readonly DeviceGraph[] _graphs;

    /// <param name="stream">Where steps run.</param>
    /// <param name="rowsMax">Most rows of a decode step.</param>
    /// <param name="queue">Queues a decode step of up to that many rows. The counts on the device are zero meanwhile.</param>
    public GraphCache(DeviceStream stream, int rowsMax, Action<int> queue)
    {
        _buckets = Buckets(rowsMax);
        _graphs = new DeviceGraph[_buckets.Length];
        try
        {
            // Largest first, so that smaller graphs fit into memory that it has claimed.
            for (int i = _buckets.Length - 1; i >= 0; i--)
            {
                int rows = _buckets[i];
                queue(rows); // loads every kernel: loading does not work while recording
                _graphs[i] = stream.Capture(() => queue(rows));
            }
            stream.Synchronize();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Number of graphs.</summary>
    public int Count => _graphs.Length;

    /// <summary>Rows of the graph that a step of so many rows replays.</summary>
    public int BucketOf(int rows) => _buckets[IndexOf(rows)];

    /// <summary>The smallest graph with room for a number of rows, from 1 to the most there can be.</summary>
    public DeviceGraph GraphOf(int rows) => _graphs[IndexOf(rows)];

    /// <summary>1, 2, 4, 8, then by 8 to 64, by 16 to 256, by 32 to 512, by 64; the limit itself is the last.</summary>
    public static int[] Buckets(int rowsMax)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(rowsMax, 1);
        List<int> buckets = [];
        for (int rows = 1; rows < rowsMax; rows += rows switch { < 8 => rows, < 64 => 8, < 256 => 16, < 512 => 32, _ => 64 })
            buckets.Add(rows);
        buckets.Add(rowsMax);
        return [.. buckets];
    }

    public void Dispose()
    {
        foreach (DeviceGraph? graph in _graphs)
            graph?.Dispose();
    }

    private int IndexOf(int rows)
    {
        int index = Array.BinarySearch(_buckets, rows);
        return index >= 0 ? index : ~index;
    }
}
