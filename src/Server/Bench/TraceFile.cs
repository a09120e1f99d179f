using System.Globalization;
using System.Text.Json;

namespace NativeLM.Server.Bench;

/// <summary>
/// Reads arrivals and lengths from a published trace: CSV with a header, or JSON lines. Columns are found by name, so the Azure, Mooncake,
/// aibrix, Vidur and plain length tables all read. Without a time column every request arrives at once.
/// </summary>
internal static class TraceFile
{
    private const int RowsMax = 10_000_000;
    private static readonly string[] TimeNames = ["TIMESTAMP", "timestamp", "timestamp_ms", "arrival", "arrived_at"];
    private static readonly string[] InputNames = ["ContextTokens", "input_length", "prompt_tokens", "num_prefill_tokens",
        "prompt_tokens_instruction_plus_input"];
    private static readonly string[] OutputNames = ["GeneratedTokens", "output_length", "output_tokens", "num_decode_tokens"];

    public static List<PlannedRequest> Read(string path) =>
        path.EndsWith(".jsonl", StringComparison.OrdinalIgnoreCase) ? ReadJsonLines(path) : ReadCsv(path);

    private static List<PlannedRequest> ReadCsv(string path)
    {
        using StreamReader reader = File.OpenText(path);
        string[] header = (reader.ReadLine() ?? throw new InvalidDataException($"{path}: found an empty file, needed a CSV header")).Split(',');
        int time = Array.FindIndex(header, name => TimeNames.Contains(name, StringComparer.Ordinal));
        int input = Column(InputNames);
        int output = Column(OutputNames);
        List<PlannedRequest> rows = [];
        TimeSpan? first = null;
        while (reader.ReadLine() is string line && rows.Count < RowsMax)
        {
            string[] cells = line.Split(',');
            if (cells.Length != header.Length)
                throw new InvalidDataException($"{path}: line {rows.Count + 2} has {cells.Length} cells, the header {header.Length}");
            TimeSpan arrival = time < 0 ? TimeSpan.Zero : Arrival(header[time], cells[time]);
            first ??= arrival;
            rows.Add(new PlannedRequest(arrival - first.Value, Length(cells[input]), Length(cells[output]), rows.Count));
        }
        return rows;

        int Column(string[] names)
        {
            int column = Array.FindIndex(header, name => names.Contains(name, StringComparer.Ordinal));
            return column >= 0 ? column
                : throw new InvalidDataException($"{path}: found columns {string.Join(", ", header)}, needed one of {string.Join(", ", names)}");
        }

        int Length(string cell) => int.TryParse(cell, NumberStyles.None, CultureInfo.InvariantCulture, out int length)
            ? length
            : throw new InvalidDataException($"{path}: found '{cell}' on line {rows.Count + 2}, needed a token count");
    }

    private static List<PlannedRequest> ReadJsonLines(string path)
    {
        List<PlannedRequest> rows = [];
        double? first = null;
        foreach (string line in File.ReadLines(path).Where(static l => l.Length > 0).Take(RowsMax))
        {
            using JsonDocument document = JsonDocument.Parse(line);
            double milliseconds = Find(document.RootElement, TimeNames) is JsonElement time ? time.GetDouble() : 0;
            first ??= milliseconds;
            rows.Add(new PlannedRequest(TimeSpan.FromMilliseconds(milliseconds - first.Value), Length(InputNames), Length(OutputNames), rows.Count));

            int Length(string[] names) => (Find(document.RootElement, names)
                ?? throw new InvalidDataException($"{path}: line {rows.Count + 1} has none of {string.Join(", ", names)}")).GetInt32();
        }
        return rows;
    }

    private static JsonElement? Find(JsonElement row, string[] names)
    {
        foreach (string name in names)
            if (row.TryGetProperty(name, out JsonElement value))
                return value;
        return null;
    }

    /// <summary>Milliseconds where the column says so, else seconds or a date and time.</summary>
    private static TimeSpan Arrival(string column, string cell) =>
        double.TryParse(cell, NumberStyles.Float, CultureInfo.InvariantCulture, out double number)
            ? column.EndsWith("_ms", StringComparison.Ordinal) ? TimeSpan.FromMilliseconds(number) : TimeSpan.FromSeconds(number)
            : DateTime.Parse(cell, CultureInfo.InvariantCulture) - DateTime.UnixEpoch;
}
