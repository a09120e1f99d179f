namespace NativeLM.Server.Http;

/// <summary>An answer other than success, as OpenAI's clients expect it. The message is shown to the client.</summary>
internal sealed class ApiException(int status, string? code, string message, string? parameter = null, TimeSpan? retryAfter = null)
    : Exception(message)
{
    public int Status { get; } = status;

    public string? Code { get; } = code;

    /// <summary>The request field at fault, or null.</summary>
    public string? Parameter { get; } = parameter;

    public TimeSpan? RetryAfter { get; } = retryAfter;

    public string Type => Status switch
    {
        429 => "rate_limit_error",
        >= 500 => "server_error",
        _ => "invalid_request_error",
    };

    public static ApiException InvalidJson(string message) => new(400, "invalid_json", message);

    public static ApiException InvalidType(string parameter, string message) => new(400, "invalid_type", message, parameter);

    public static ApiException InvalidValue(string parameter, string message) => new(400, "invalid_value", message, parameter);

    public static ApiException Missing(string parameter) =>
        new(400, "missing_required_parameter", $"Missing required parameter: '{parameter}'.", parameter);

    public static ApiException Unsupported(string parameter, string message) => new(400, "unsupported_parameter", message, parameter);

    public static ApiException NotFound() => new(404, "not_found", "No such route. Routes are matched exactly; the list is in docs/api.md.");

    public static ApiException ModelNotFound(string name) =>
        new(404, "model_not_found", $"The model '{Text.Clip(name)}' does not exist or you do not have access to it.", "model");

    public static ApiException ShuttingDown() =>
        new(503, "shutting_down", "The server is shutting down.", retryAfter: TimeSpan.FromSeconds(5));

    public static ApiException Loading() =>
        new(503, "loading", "The model is still loading.", retryAfter: TimeSpan.FromSeconds(2));
}
