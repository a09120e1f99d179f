using System.Security.Cryptography;
using System.Text;
using NativeLM.Server.Http;
using Xunit;

namespace NativeLM.Server.Tests;

/// <summary>Names and weights of API keys, and the file that lists them.</summary>
public sealed class ApiKeyTests : IDisposable
{
    private readonly string _file = Path.GetTempFileName();

    public void Dispose() => File.Delete(_file);

    [Fact]
    public void A_file_names_keys_hashes_and_weights()
    {
        string hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes("hidden")));
        File.WriteAllText(_file, $"""
            # who may ask
            ann   sk-ann-1
            bob   sk-bob-2   2.5   # pays more

            hash  sha256:{hash} 0.001
            """);
        List<ApiKey> keys = ApiKey.ReadFile(_file);
        Assert.Equal([("ann", 1.0), ("bob", 2.5), ("hash", 0.001)], keys.Select(static key => (key.Name, key.Weight)));
        Assert.Equal(SHA256.HashData(Encoding.UTF8.GetBytes("hidden")), keys[2].Sha256.ToArray());
        Assert.Equal(SHA256.HashData(Encoding.UTF8.GetBytes("sk-ann-1")), keys[0].Sha256.ToArray());
    }

    [Theory]
    [InlineData("", "no key")]
    [InlineData("# nothing", "no key")]
    [InlineData("ann", "line 1")]
    [InlineData("ann key 1 more", "line 1")]
    [InlineData("ok key\nann key much", "line 2")]
    [InlineData("ann key NaN", "0.001 to 1000")]
    [InlineData("ann key 0", "0.001 to 1000")]
    [InlineData("ann key -1", "0.001 to 1000")]
    [InlineData("ann key 1e9", "0.001 to 1000")]
    [InlineData("a/n key", "name")]
    [InlineData("anonymous key", "name")]
    [InlineData("ann sha256:abc", "64 hexadecimal")]
    [InlineData("ann kéy", "printable")]
    public void A_wrong_line_is_named_and_never_quotes_the_key(string text, string words)
    {
        File.WriteAllText(_file, text);
        ArgumentException wrong = Assert.Throws<ArgumentException>(() => ApiKey.ReadFile(_file));
        Assert.Contains(words, wrong.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("kéy", wrong.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_that_is_not_there_is_one_clear_line()
    {
        ArgumentException wrong = Assert.Throws<ArgumentException>(static () => ApiKey.ReadFile("/no/such/file"));
        Assert.StartsWith("--api-key-file", wrong.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_name_stands_for_one_key()
    {
        ServerOptions options = new() { ApiKeys = [new ApiKey("twice", "a"), new ApiKey("twice", "b")] };
        Assert.Contains("twice", Assert.Throws<ArgumentException>(options.Validate).Message, StringComparison.Ordinal);
    }
}
