using System.Buffers.Binary;
using System.Text;
using NativeLM.Engine;
using NativeLM.Engine.Models;
using NativeLM.Engine.Weights;
using Xunit;

namespace NativeLM.Tests;

/// <summary>Safetensors files that break a rule: a typed error that names file and rule, at once, whatever the file claims.</summary>
public sealed class HostileSafetensorsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(8)]
    public void A_file_shorter_than_its_length_field_is_refused(int bytes) => Refuse(new byte[bytes], "found");

    [Theory]
    [InlineData(0UL)]
    [InlineData(1UL)]
    [InlineData(1000UL)]
    [InlineData(100_000_001UL)]
    [InlineData(1UL << 63)]
    [InlineData(ulong.MaxValue)]
    public void A_header_length_that_the_file_cannot_hold_is_refused(ulong length)
    {
        byte[] file = File("{}", 0);
        BinaryPrimitives.WriteUInt64LittleEndian(file, length);
        Refuse(file, "header");
    }

    [Theory]
    [InlineData("[]", "'{'")]
    [InlineData(" {}", "'{'")]
    [InlineData("{", "header")]
    [InlineData("{} x", "JSON")]
    [InlineData("{\"a\":1}", "object")]
    [InlineData("{\"a\":{}}", "dtype")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", "data_offsets")]
    [InlineData("{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", "F33")]
    [InlineData("{\"a\":{\"dtype\":5,\"shape\":[1],\"data_offsets\":[0,4]}}", "ill-typed")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "repeated")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", "unknown")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", "whole number")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[1e30],\"data_offsets\":[0,4]}}", "whole number")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[0.5],\"data_offsets\":[0,4]}}", "whole number")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,4]}}", "2^63")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775807],\"data_offsets\":[0,4]}}", "2^63")]
    [InlineData("{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", "whole bytes")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", "data_offsets")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", "data_offsets")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", "more than 2")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", "tensor before it ends")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", "before it ends")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[99],\"data_offsets\":[0,396]}}", "data bytes")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "data bytes")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", "twice")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", "more than 16")]
    public void A_header_that_breaks_a_rule_is_refused_by_name(string header, string mention) => Refuse(File(header, 8), mention);

    [Fact]
    public void Deep_nesting_and_bytes_that_are_no_text_are_refused()
    {
        Refuse(File("{\"a\":" + new string('[', 100_000), 0), "JSON");
        Refuse(File("{\"__metadata__\":" + string.Concat(Enumerable.Repeat("{\"a\":", 100_000)), 0), "JSON");
        byte[] file = File("{\"aaaa\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8);
        file[10] = 0xff;
        Refuse(file, "JSON");
    }

    [Fact]
    public void Tensors_of_every_size_are_read_where_they_lie()
    {
        byte[] file = File("{\"__metadata__\":{\"format\":\"pt\"},\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[4,8]},"
            + "\"none\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[4,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 8);
        file[^1] = 0x7b;
        System.IO.File.WriteAllBytes(_folder["model.safetensors"], file);
        using SafetensorsFile opened = SafetensorsFile.Open(new ModelFolder(_folder.Path), "model.safetensors");
        Assert.Equal(["a", "none", "b"], opened.Tensors.Select(tensor => tensor.Name));
        byte[] data = new byte[4];
        opened.Read(opened.Tensors[2].Offset, data);
        Assert.Equal(0x7b, data[3]);
    }

    [Fact]
    public void A_file_that_shrinks_after_it_was_opened_gives_an_error()
    {
        string path = _folder["model.safetensors"];
        System.IO.File.WriteAllBytes(path, File("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8));
        using SafetensorsFile opened = SafetensorsFile.Open(new ModelFolder(_folder.Path), "model.safetensors");
        using (FileStream writer = new(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
            writer.SetLength(20);
        Assert.Throws<ModelLoadException>(() => opened.Read(opened.Tensors[0].Offset, new byte[8]));
    }

    [Theory]
    [InlineData("{}", "weight_map")]
    [InlineData("{\"weight_map\":{}}", "weight_map")]
    [InlineData("{\"weight_map\":[]}", "weight_map")]
    [InlineData("{\"weight_map\":{\"a\":5}}", "file name")]
    [InlineData("{\"weight_map\":{\"a\":\"x.safetensors\",\"a\":\"y.safetensors\"}}", "twice")]
    [InlineData("{\"weight_map\":{\"a\":\"missing.safetensors\"}}", "no such file")]
    [InlineData("{\"weight_map\":{\"a\":\"../model.safetensors\"}}", "plain name")]
    [InlineData("{\"weight_map\":{\"a\":\"/etc/hosts.safetensors\"}}", "plain name")]
    [InlineData("{\"weight_map\":{\"a\":\"..\"}}", "*.safetensors")]
    [InlineData("{\"weight_map\":{\"a\":\"config.json\"}}", "*.safetensors")]
    [InlineData("{\"weight_map\":{\"a\":\"x\\u0000.safetensors\"}}", "plain name")]
    [InlineData("{\"weight_map\":{\"a\":\"link.safetensors\"}}", "link")]
    [InlineData("{\"weight_map\":{\"b\":\"good.safetensors\"}}", "'b'")]
    public void An_index_that_is_broken_or_leads_out_of_the_folder_is_refused(string index, string mention)
    {
        using TemporaryFolder outside = new();
        byte[] good = File("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8);
        System.IO.File.WriteAllBytes(_folder["good.safetensors"], good);
        System.IO.File.WriteAllBytes(outside["secret.safetensors"], good);
        System.IO.File.CreateSymbolicLink(_folder["link.safetensors"], outside["secret.safetensors"]);
        System.IO.File.WriteAllText(_folder["model.safetensors.index.json"], index);
        ModelLoadException error = Assert.Throws<ModelLoadException>(() => Checkpoint.Open(new ModelFolder(_folder.Path)).Dispose());
        Assert.Contains(mention, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Links_of_a_hugging_face_cache_are_followed()
    {
        string snapshot = _folder["snapshots/abc"], blobs = _folder["blobs"];
        Directory.CreateDirectory(snapshot);
        Directory.CreateDirectory(blobs);
        System.IO.File.WriteAllBytes(Path.Combine(blobs, "1234"), File("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8));
        System.IO.File.CreateSymbolicLink(Path.Combine(snapshot, "model.safetensors"), "../../blobs/1234");
        using Checkpoint checkpoint = Checkpoint.Open(new ModelFolder(snapshot));
        Assert.Equal("a", Assert.Single(checkpoint.Tensors).Key);
    }

    [Fact]
    public void Weight_files_that_can_carry_code_are_named_and_not_opened()
    {
        System.IO.File.WriteAllText(_folder["pytorch_model.bin"], "");
        ModelLoadException error = Assert.Throws<ModelLoadException>(() => Checkpoint.Open(new ModelFolder(_folder.Path)).Dispose());
        Assert.Contains("pytorch_model.bin", error.Message, StringComparison.Ordinal);
    }

    private void Refuse(byte[] file, string mention)
    {
        System.IO.File.WriteAllBytes(_folder["model.safetensors"], file);
        ModelLoadException error = Assert.Throws<ModelLoadException>(() => Checkpoint.Open(new ModelFolder(_folder.Path)).Dispose());
        Assert.Contains("model.safetensors", error.Message, StringComparison.Ordinal);
        Assert.Contains(mention, error.Message, StringComparison.Ordinal);
    }

    private static byte[] File(string header, int dataBytes)
    {
        byte[] text = Encoding.UTF8.GetBytes(header);
        byte[] file = new byte[8 + text.Length + dataBytes];
        BinaryPrimitives.WriteInt64LittleEndian(file, text.Length);
        text.CopyTo(file, 8);
        return file;
    }
}
