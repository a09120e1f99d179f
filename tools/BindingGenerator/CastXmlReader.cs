using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace NativeLM.BindingGenerator;

/// <summary>Reads a header with castxml in C11 mode: sizes, alignments and offsets come from a real compiler, comments as byte ranges.</summary>
internal sealed partial class CastXmlReader(string compiler) : IHeaderReader
{
    private static readonly HashSet<string> FixedWidth =
        ["int8_t", "uint8_t", "int16_t", "uint16_t", "int32_t", "uint32_t", "int64_t", "uint64_t", "float", "double", "char", "void"];

    private Dictionary<string, XElement> _nodes = [];
    private byte[] _header = [];

    /// <summary>Whether castxml can be started on this machine.</summary>
    public static bool IsAvailable
    {
        get
        {
            try
            {
                using Process process = Process.Start(new ProcessStartInfo("castxml", "--version") { RedirectStandardOutput = true })!;
                process.StandardOutput.ReadToEnd();
                process.WaitForExit();
                return process.ExitCode == 0;
            }
            catch (Win32Exception)
            {
                return false;
            }
        }
    }

    public TranslationUnit Read(string headerPath)
    {
        _header = File.ReadAllBytes(headerPath);
        RejectMacros(Encoding.UTF8.GetString(_header));
        XElement root = Parse(headerPath);
        _nodes = root.Elements().Where(e => e.Attribute("id") is not null).ToDictionary(e => Text(e, "id"));
        string file = root.Elements("File").Where(f => Path.GetFullPath(Text(f, "name")) == Path.GetFullPath(headerPath))
            .Select(f => Text(f, "id")).FirstOrDefault() ?? throw new GeneratorException($"castxml did not report {headerPath}");

        TranslationUnit unit = new();
        foreach (XElement node in root.Elements().Where(e => (string?)e.Attribute("file") == file))
        {
            switch (node.Name.LocalName)
            {
                case "Enumeration": unit.Enumerations.Add(ReadEnumeration(node)); break;
                case "Struct": unit.Classes.Add(ReadClass(node)); break;
                case "Function": unit.Functions.Add(ReadFunction(node)); break;
                case "Union": throw new GeneratorException($"{Text(node, "location")}: unions have no place in the ABI");
            }
        }
        return unit;
    }

    private XElement Parse(string headerPath)
    {
        ProcessStartInfo start = new("castxml") { RedirectStandardError = true, RedirectStandardOutput = true };
        // Plain /* */ comments are the documentation; without -fparse-all-comments only /** */ ones are reported.
        string[] arguments = ["--castxml-output=1", "--castxml-cc-gnu-c", "(", compiler, "-std=c11", ")", "-fparse-all-comments",
            "-x", "c", headerPath, "-o", "-"];
        foreach (string argument in arguments)
            start.ArgumentList.Add(argument);
        try
        {
            using Process process = Process.Start(start)!;
            Task<string> errors = process.StandardError.ReadToEndAsync();
            string xml = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            if (process.ExitCode != 0)
                throw new GeneratorException($"castxml failed on {headerPath}:\n{errors.Result}");
            return XDocument.Parse(xml).Root!;
        }
        catch (Win32Exception)
        {
            throw new GeneratorException("castxml is not installed; install it (Debian: apt-get install castxml gcc) and run again");
        }
    }

    private Enumeration ReadEnumeration(XElement node)
    {
        if (Text(node, "size") != "32")
            throw new GeneratorException($"{Text(node, "name")}: enumerations are plain int, found {Text(node, "size")} bits");
        Enumeration e = new() { CName = Text(node, "name"), Name = Text(node, "name"), Comment = CommentOf(node) };
        string text = Encoding.UTF8.GetString(_header);
        foreach (XElement item in node.Elements("EnumValue"))
        {
            string name = Text(item, "name");
            // castxml has no comments for enumerators: take the one that follows on the same line.
            Match match = Regex.Match(text, $@"\b{name}\b\s*=\s*\d+\s*,?[ \t]*/\*(.*?)\*/");
            e.Items.Add(new EnumerationItem
            {
                CName = name,
                Name = name,
                Value = int.Parse(Text(item, "init"), CultureInfo.InvariantCulture),
                Comment = match.Success ? Lines(match.Groups[1].Value) : [],
            });
        }
        return e;
    }

    private Class ReadClass(XElement node)
    {
        string name = Text(node, "name");
        if (node.Attribute("incomplete") is not null)
            return new Class { CName = name, Name = name, Layout = default, Comment = CommentOf(node) };
        Class c = new() { CName = name, Name = name, Comment = CommentOf(node), Layout = new(Bytes(node, "size"), Bytes(node, "align")) };
        foreach (string id in Text(node, "members").Split(' '))
        {
            XElement field = _nodes[id];
            if (field.Name.LocalName != "Field" || Text(field, "name").Length == 0)
                throw new GeneratorException($"{name}: only named fields are allowed, found {field.Name.LocalName}");
            if (field.Attribute("bits") is not null)
                throw new GeneratorException($"{name}.{Text(field, "name")}: bit fields have no fixed layout");
            c.Fields.Add(new Field
            {
                CName = Text(field, "name"),
                Name = Text(field, "name"),
                Type = TypeOf(Text(field, "type")),
                Offset = Bytes(field, "offset"),
                Comment = CommentOf(field),
            });
        }
        return c;
    }

    private Function ReadFunction(XElement node)
    {
        Function f = new()
        {
            CName = Text(node, "name"),
            Name = Text(node, "name"),
            ReturnType = TypeOf(Text(node, "returns")),
            Comment = CommentOf(node),
        };
        foreach (XElement argument in node.Elements("Argument"))
            f.Parameters.Add(new Parameter { CName = Text(argument, "name"), Name = Text(argument, "name"), Type = TypeOf(Text(argument, "type")) });
        if (f.ReturnType is ClassType || f.Parameters.Any(p => p.Type is ClassType))
            throw new GeneratorException($"{f.CName}: structs pass by pointer only");
        return f;
    }

    private CType TypeOf(string id)
    {
        if (!_nodes.TryGetValue(id, out XElement? node))
            throw new GeneratorException($"castxml refers to the unknown type {id}");
        switch (node.Name.LocalName)
        {
            case "PointerType": return new PointerType(TypeOf(Text(node, "type")));
            case "CvQualifiedType": return new ConstType(TypeOf(Text(node, "type")));
            case "ArrayType": return new ArrayType(TypeOf(Text(node, "type")), int.Parse(Text(node, "max"), CultureInfo.InvariantCulture) + 1);
            case "ElaboratedType": return TypeOf(Text(node, "type"));
            case "Struct": return new ClassType(Text(node, "name"));
            case "Typedef" when FixedWidth.Contains(Text(node, "name")):
            case "FundamentalType" when FixedWidth.Contains(Text(node, "name")):
                return new BuiltinType(Text(node, "name"));
            case "Typedef": return TypeOf(Text(node, "type"));
            default:
                throw new GeneratorException(
                    $"type '{(string?)node.Attribute("name")}' ({node.Name.LocalName}) is not allowed in the ABI: use fixed-width scalars, structs and pointers");
        }
    }

    private List<string> CommentOf(XElement node)
    {
        if ((string?)node.Attribute("comment") is not string id || !_nodes.TryGetValue(id, out XElement? comment))
            return [];
        int begin = int.Parse(Text(comment, "begin_offset"), CultureInfo.InvariantCulture);
        int end = int.Parse(Text(comment, "end_offset"), CultureInfo.InvariantCulture);
        string text = Encoding.UTF8.GetString(_header, begin, end - begin).Trim();
        // A section line (/* ---- memory ---- */) stands before the first declaration of its section and describes none.
        if (text.StartsWith("/* ---", StringComparison.Ordinal))
            return [];
        text = text.StartsWith("/*", StringComparison.Ordinal) ? text[2..] : text;
        text = text.EndsWith("*/", StringComparison.Ordinal) ? text[..^2] : text.TrimEnd('/').TrimEnd('*');
        return Lines(text);
    }

    private static List<string> Lines(string text) =>
        [.. text.Split('\n').Select(line => line.Trim().TrimStart('*').Trim()).Where(line => line.Length > 0)];

    private static void RejectMacros(string text)
    {
        foreach (Match match in MacroWithValue().Matches(text))
            if (match.Groups[1].Value != "NLM_API")
                throw new GeneratorException($"macro {match.Groups[1].Value} has a value: use an enumeration");
    }

    [GeneratedRegex(@"^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+\S", RegexOptions.Multiline)]
    private static partial Regex MacroWithValue();

    private static string Text(XElement node, string attribute) => (string?)node.Attribute(attribute) ?? "";

    private static int Bytes(XElement node, string attribute) => int.Parse(Text(node, attribute), CultureInfo.InvariantCulture) / 8;
}
