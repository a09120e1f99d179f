using System.Runtime.InteropServices;

namespace NativeLM.Tests;

/// <summary>Processor time of the calling thread: unlike a clock, it does not grow while others use the machine.</summary>
internal static partial class ThreadTime
{
    private const int ThreadProcessorClock = 3; // CLOCK_THREAD_CPUTIME_ID of Linux

    public static TimeSpan Now
    {
        get
        {
            if (ReadClock(ThreadProcessorClock, out TimeValue time) != 0)
                throw new InvalidOperationException("the system does not tell the processor time of a thread");
            return TimeSpan.FromSeconds(time.Seconds) + TimeSpan.FromMicroseconds(time.Nanoseconds / 1000.0);
        }
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int ReadClock(int clock, out TimeValue time);

    // struct timespec of 64-bit Linux.
    private readonly struct TimeValue
    {
        public readonly long Seconds;
        public readonly long Nanoseconds;
    }
}
