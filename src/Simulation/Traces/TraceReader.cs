using System.Globalization;
using System.Text.Json;

namespace NativeLM.Simulation.Traces;

/// <summary>
/// Reads arrivals and lengths from a published trace: CSV with a header, or JSON lines. Columns are found by name, so the Azure, Mooncake,
/// aibrix, Vidur and plain length tables all read. Everything is bounded; a broken row is an error that names file, line and field.
/// </summary>
internal static class TraceReader
{
    /// <summary>Most rows of a trace.</summary>
    public const int RowsMax = 10_000_000;

    /// <summary>Most characters of a line.</summary>
    public const int LineMax = 1 << 20;

    /// <summary>Most tokens of a prompt or an output.</summary>
    public const int TokensMax = 1 << 24;

    private static readonly string[] TimeNames = ["TIMESTAMP", "timestamp", "timestamp_ms", "arrival", "arrived_at"];
    private static readonly string[] InputNames = ["ContextTokens", "input_length", "prompt_tokens", "num_prefill_tokens",
        "prompt_tokens_instruction_plus_input"];
    private static readonly string[] OutputNames = ["GeneratedTokens", "output_length", "output_tokens", "num_decode_tokens"];

    /// <summary>All rows in file order. Without a time column every request arrives at 0.</summary>
    public static Trace Read(string path)
    {
        using StreamReader reader = File.OpenText(path);
        return path.EndsWith(".jsonl", StringComparison.OrdinalIgnoreCase) ? ReadJsonLines(path, reader) : ReadCsv(path, reader);
    }

    private static Trace ReadCsv(string path, StreamReader reader)
    {
        string first = ReadLine(path, reader, 1) ?? throw new InvalidDataException($"{path}: found an empty file, needed a CSV header");
        string[] header = first.Split(',');
        int time = Find(header, TimeNames);
        int input = Required(path, header, InputNames);
        int output = Required(path, header, OutputNames);
        List<TraceRequest> rows = [];
        double start = 0;
        for (int line = 2; ReadLine(path, reader, line) is string text; line++)
        {
            if (text.Length == 0)
                continue;
            string[] cells = text.Split(',');
            if (cells.Length != header.Length)
                throw new InvalidDataException($"{path}, line {line}: found {cells.Length} cells, needed {header.Length} as in the header");
            double arrival = time < 0 ? 0 : Arrival(path, line, header[time], cells[time]);
            if (rows.Count == 0)
                start = arrival;
            Add(path, line, rows, new TraceRequest(arrival - start, Tokens(input, 1), Tokens(output, 0)), time < 0 ? "arrival" : header[time]);

            int Tokens(int column, int min) => int.TryParse(cells[column], NumberStyles.None, CultureInfo.InvariantCulture, out int count)
                && count >= min && count <= TokensMax
                ? count
                : throw Bad(path, line, header[column], cells[column], $"a token count from {min} to {TokensMax}");
        }
        return new Trace(rows, HasArrivals: time >= 0);
    }

    private static Trace ReadJsonLines(string path, StreamReader reader)
    {
        List<TraceRequest> rows = [];
        double first = 0;
        bool hasArrivals = false;
        for (int line = 1; ReadLine(path, reader, line) is string text; line++)
        {
            if (text.Length == 0)
                continue;
            using JsonDocument document = Parse(path, line, text);
            double arrival = 0;
            string timeName = "arrival";
            if (TryFind(document.RootElement, TimeNames, out timeName, out JsonElement time))
            {
                // Mooncake counts milliseconds without saying so in the name.
                double number = time.ValueKind == JsonValueKind.Number && time.TryGetDouble(out double value) && double.IsFinite(value)
                    ? value
                    : throw Bad(path, line, timeName, time.GetRawText(), "a time as a number");
                arrival = timeName is "timestamp" or "timestamp_ms" ? number / 1000 : number;
                hasArrivals = true;
            }
            if (rows.Count == 0)
                first = arrival;
            Add(path, line, rows,
                new TraceRequest(arrival - first, Tokens(InputNames, 1), Tokens(OutputNames, 0), PrefixBlocks(path, line, document.RootElement)),
                timeName);

            int Tokens(string[] names, int min)
            {
                if (!TryFind(document.RootElement, names, out string name, out JsonElement found))
                    throw new InvalidDataException($"{path}, line {line}: found none of the fields {string.Join(", ", names)}, needed one");
                return found.ValueKind == JsonValueKind.Number && found.TryGetInt32(out int count) && count >= min && count <= TokensMax
                    ? count
                    : throw Bad(path, line, name, found.GetRawText(), $"a token count from {min} to {TokensMax}");
            }
        }
        return new Trace(rows, hasArrivals);
    }

    private static int[]? PrefixBlocks(string path, int line, JsonElement row)
    {
        if (!row.TryGetProperty("hash_ids", out JsonElement ids))
            return null;
        if (ids.ValueKind != JsonValueKind.Array)
            throw Bad(path, line, "hash_ids", ids.GetRawText(), "an array of block ids");
        int[] blocks = new int[ids.GetArrayLength()];
        int i = 0;
        foreach (JsonElement id in ids.EnumerateArray())
            blocks[i++] = id.ValueKind == JsonValueKind.Number && id.TryGetInt32(out int block) && block >= 0
                ? block
                : throw Bad(path, line, "hash_ids", id.GetRawText(), "block ids of at least 0");
        return blocks;
    }

    private static void Add(string path, int line, List<TraceRequest> rows, in TraceRequest row, string timeName)
    {
        if (rows.Count == RowsMax)
            throw new InvalidDataException($"{path}, line {line}: found more than {RowsMax} rows, needed at most that many; split the trace");
        if (rows.Count > 0 && row.Arrival < rows[^1].Arrival)
            throw new InvalidDataException($"{path}, line {line}: field {timeName} is earlier than in the row before; sort the trace by time");
        rows.Add(row);
    }

    private static JsonDocument Parse(string path, int line, string text)
    {
        try
        {
            JsonDocument document = JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = 8 });
            return document.RootElement.ValueKind == JsonValueKind.Object ? document
                : throw new InvalidDataException($"{path}, line {line}: found a JSON {document.RootElement.ValueKind}, needed an object");
        }
        catch (JsonException failure)
        {
            throw new InvalidDataException($"{path}, line {line}: found broken JSON ({failure.Message}), needed one object per line", failure);
        }
    }

    /// <summary>Milliseconds where the column says so, else seconds or a date and time.</summary>
    private static double Arrival(string path, int line, string column, string cell)
    {
        if (double.TryParse(cell, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number))
            return column.EndsWith("_ms", StringComparison.Ordinal) ? number / 1000 : number;
        if (DateTime.TryParse(cell, CultureInfo.InvariantCulture, DateTimeStyles.None, out DateTime moment))
            return (moment - DateTime.UnixEpoch).TotalSeconds;
        throw Bad(path, line, column, cell, "seconds, milliseconds (a name ending in _ms) or a date and time");
    }

    private static string? ReadLine(string path, StreamReader reader, int line)
    {
        string? text = reader.ReadLine();
        if (text?.Length > LineMax)
            throw new InvalidDataException($"{path}, line {line}: found {text.Length} characters, needed at most {LineMax}");
        return text?.TrimEnd('\r');
    }

    private static int Find(string[] header, string[] names) => Array.FindIndex(header, name => names.Contains(name.Trim(), StringComparer.Ordinal));

    private static int Required(string path, string[] header, string[] names)
    {
        int column = Find(header, names);
        return column >= 0 ? column
            : throw new InvalidDataException($"{path}, line 1: found columns {string.Join(", ", header)}, needed one of {string.Join(", ", names)}");
    }

    private static bool TryFind(JsonElement row, string[] names, out string name, out JsonElement value)
    {
        foreach (string known in names)
        {
            name = known;
            if (row.TryGetProperty(known, out value))
                return true;
        }
        name = names[^1];
        value = default;
        return false;
    }

    private static InvalidDataException Bad(string path, int line, string field, string found, string needed) =>
        new($"{path}, line {line}: field {field} is '{(found.Length > 80 ? found[..80] + "…" : found)}', needed {needed}");
}
