using System.Globalization;
using System.Text.Json;
using NativeLM.Engine;
using NativeLM.Server.Contracts;

namespace NativeLM.Server.Http;

/// <summary>Turns any failure into the error object.</summary>
internal static class ErrorAnswer
{
    /// <summary>What the client is told. Anything unforeseen is our fault and says nothing about its cause.</summary>
    public static ApiException From(Exception failure) => failure switch
    {
        ApiException api => api,
        RequestRejectedException rejected => From(rejected),
        BadHttpRequestException { StatusCode: 413 } => TooLarge("The request body is larger than this server's limit."),
        BadHttpRequestException { StatusCode: 408 } => new ApiException(408, "request_timeout", "The request body arrived too slowly."),
        // Kestrel's body reader reports some malformed chunk sizes as IOException.
        BadHttpRequestException or IOException => new ApiException(400, "invalid_request", "The request body could not be read: malformed HTTP."),
        _ => new ApiException(500, "internal_error", "The server failed to answer this request."),
    };

    public static ApiException TooLarge(string message) => new(413, "request_too_large", message);

    /// <summary>Writes status, headers and the error object; cuts the connection if a response has begun.</summary>
    public static Task WriteAsync(HttpContext context, ApiException error)
    {
        HttpResponse response = context.Response;
        if (response.HasStarted)
        {
            context.Abort();
            return Task.CompletedTask;
        }
        response.StatusCode = error.Status;
        if (error.Status == 401)
            response.Headers.WWWAuthenticate = "Bearer";
        if (error.RetryAfter is TimeSpan wait)
            response.Headers.RetryAfter = Math.Max(1, (long)Math.Ceiling(wait.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
        return JsonAnswer.WriteAsync(context, Body(error), ServerJson.Default.ErrorBody);
    }

    public static ErrorBody Body(ApiException error) => new(new ErrorDetail(error.Message, error.Type, error.Parameter, error.Code));

    private static ApiException From(RequestRejectedException rejected) => rejected.Kind switch
    {
        RejectionKind.ContextLengthExceeded => new ApiException(400, "context_length_exceeded", rejected.Message, rejected.Parameter),
        RejectionKind.KvCapacityExceeded => new ApiException(400, "kv_capacity_exceeded", rejected.Message, rejected.Parameter),
        RejectionKind.QueueFull => TooManyRequests("queue_full", rejected),
        RejectionKind.KeyQueueFull => TooManyRequests("key_queue_full", rejected),
        RejectionKind.DeadlineUnreachable => TooManyRequests("deadline_unreachable", rejected),
        RejectionKind.Unavailable => new ApiException(503, "engine_unavailable", rejected.Message, rejected.Parameter, TimeSpan.FromSeconds(5)),
        _ => new ApiException(400, "invalid_value", rejected.Message, rejected.Parameter),
    };

    /// <summary>Every 429 says when to try again.</summary>
    private static ApiException TooManyRequests(string code, RequestRejectedException rejected) =>
        new(429, code, rejected.Message, rejected.Parameter, rejected.RetryAfter ?? TimeSpan.FromSeconds(1));
}
