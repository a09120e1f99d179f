namespace NativeLM.Server.Http;

/// <summary>A failure the client has already been told of inside its stream: it is counted and logged, nothing more is written.</summary>
internal sealed class AnsweredException(ApiException error, Exception cause) : Exception(error.Message, cause)
{
    public ApiException Error { get; } = error;
}
