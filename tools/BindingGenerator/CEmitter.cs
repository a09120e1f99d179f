using System.Text;

namespace NativeLM.BindingGenerator;

/// <summary>Writes the C side of the proof: layout assertions and the hash that both sides carry.</summary>
internal static class CEmitter
{
    public static string Layout(TranslationUnit unit)
    {
        StringBuilder text = new();
        text.Append("/* Generated from nativelm.h by tools/BindingGenerator. Do not edit: run scripts/bindings.sh. */\n");
        text.Append("#include \"nativelm.h\"\n\n#include <assert.h>\n#include <stddef.h>\n\n");
        text.Append("/* clang-format off */\n");
        foreach (Class c in unit.Classes.Where(c => !c.IsOpaque))
        {
            text.Append($"static_assert(sizeof({c.CName}) == {c.Layout.Size}, \"{c.CName}\");\n");
            foreach (Field f in c.Fields)
                text.Append($"static_assert(offsetof({c.CName}, {f.CName}) == {f.Offset}, \"{c.CName}.{f.CName}\");\n");
            text.Append('\n');
        }
        foreach (Enumeration e in unit.Enumerations)
        {
            text.Append($"static_assert(sizeof({e.CName}) == 4, \"{e.CName}\");\n");
            foreach (EnumerationItem item in e.Items)
                text.Append($"static_assert({item.CName} == {item.Value}, \"{item.CName}\");\n");
        }
        text.Append("/* clang-format on */\n");
        return text.ToString();
    }

    public static string Hash(TranslationUnit unit, int version) => $$"""
        // Generated from nativelm.h by tools/BindingGenerator. Do not edit: run scripts/bindings.sh.
        #pragma once

        #include <cstdint>

        namespace nlm {

        // What nlm_abi_version() and nlm_abi_hash() return; the C# side carries the same pair and compares at load.
        constexpr int32_t abi_version = {{version}};
        constexpr uint64_t abi_hash = 0x{{unit.Hash():x16}}ull;

        } // namespace nlm

        """;
}
