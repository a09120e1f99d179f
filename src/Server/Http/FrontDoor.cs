using System.Diagnostics;
using System.Globalization;

namespace NativeLM.Server.Http;

/// <summary>
/// What every request passes: name, host, key, route; and the one place where failures become answers. Each stage is cheaper than the
/// next, and nothing is paid for a request that an earlier stage refuses.
/// </summary>
internal sealed class FrontDoor(Router router, ServerOptions options, RequestCounter counter, ILogger logger)
{
    private readonly Authentication _authentication = new(options.ApiKeys);
    private readonly HostRule _hosts = new(options);

    public async Task HandleAsync(HttpContext context)
    {
        RequestIds.Assign(context);
        context.Response.OnStarting(WriteProcessingTime, (context, Stopwatch.GetTimestamp()));
        counter.Enter();
        try
        {
            _hosts.Check(context.Request);
            _authentication.Check(context);
            await router.Find(context)(context);
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // The client is gone; disposing the enumerators on the way here has cancelled its generations.
        }
        catch (AnsweredException answered)
        {
            Note(context, answered.Error, answered.InnerException!);
        }
        catch (Exception failure)
        {
            await AnswerAsync(context, failure);
        }
        finally
        {
            counter.Leave();
        }
    }

    private Task AnswerAsync(HttpContext context, Exception failure)
    {
        ApiException error = ErrorAnswer.From(failure);
        Note(context, error, failure);
        return ErrorAnswer.WriteAsync(context, error);
    }

    private void Note(HttpContext context, ApiException error, Exception failure)
    {
        if (error.Status == 500)
            ServerLog.RequestFailed(logger, RequestIds.Of(context), failure);
        counter.Rejected(error.Code ?? "none");
    }

    private static Task WriteProcessingTime(object state)
    {
        (HttpContext context, long start) = ((HttpContext, long))state;
        context.Response.Headers["openai-processing-ms"] =
            ((long)Stopwatch.GetElapsedTime(start).TotalMilliseconds).ToString(CultureInfo.InvariantCulture);
        return Task.CompletedTask;
    }
}
