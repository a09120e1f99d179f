using System.Globalization;
using System.Text;
using NativeLM.Benchmarks.Paged;
using NativeLM.Engine.Scheduling;
using NativeLM.Simulation.Traces;

// The paper's claims about memory on real runs: the CPU backend, the same kernels and the same scheduler for every policy.
//   scripts/bench.sh paged
if (args.Length != 3)
{
    Console.Error.WriteLine("usage: PagedServing MODEL_FOR_SHARING MODEL_FOR_THROUGHPUT PAGE_TO_WRITE (scripts/bench.sh paged makes the models)");
    return 2;
}
(string model, string large, string page) = (args[0], args[1], args[2]);
CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
StringBuilder text = new();
text.AppendLine("# Paged memory on real runs\n");
text.AppendLine($"`scripts/bench.sh paged` on {Environment.ProcessorCount} threads of this processor; the rows of a table are measured in one run, one after the other, "
    + "with the same kernels and the same scheduler. Written by the program, not by hand.\n");

text.AppendLine("## Throughput at equal KV memory\n");
text.AppendLine("A random-weight Llama whose 420 MB of weights no cache holds (4 layers of TinyLlama-1.1B shape, bfloat16, context 1,024): a step reads them once however many sequences it decodes, "
    + "which is why memory is throughput (section 1).\n");
text.AppendLine($"{ServingRun.Requests} requests at once, ShareGPT-like lengths halved to fit the context, {ServingRun.Blocks} KV blocks of 16 tokens (7 full contexts, the paper's "
    + "figure 13). The reserving policies take the blocks of a whole output when a request starts, as Orca does in the paper (section 6.1); they get them in any place, so the fragmentation "
    + "that a contiguous allocator adds is left out in their favour. Each policy runs three times; medians.\n");
text.AppendLine("| policy | tokens/s | of paged | sequences in a step | slots that hold a token |\n|---|---|---|---|---|");
Reservation[] policies = [Reservation.None, Reservation.Oracle, Reservation.Pow2, Reservation.Max];
ServingResult[] results = await ServingRun.CompareAsync(large, policies);
for (int i = 0; i < policies.Length; i++)
    text.AppendLine($"| {ServingRun.NameOf(policies[i])} | {results[i].TokensPerSecond:0} | {results[i].TokensPerSecond / results[0].TokensPerSecond:0.00} "
        + $"| {results[i].SequencesPerStep:0.0} | {100 * results[i].FilledShare:0.0} % |");

text.AppendLine("\n## Blocks saved by sharing\n");
text.AppendLine("1 - distinct blocks / table entries, summed over the steps of every request (figure 15). The demo model, Alpaca-like lengths, block size 16.\n");
text.AppendLine("| | width | saved | copies on write per request | paper |\n|---|---|---|---|---|");
foreach (bool beams in new[] { false, true })
    foreach (int width in new[] { 2, 4, 6 })
    {
        SharingResult sharing = await SharingRun.MeasureAsync(model, width, beams, FittedWorkload.Alpaca);
        text.AppendLine($"| {(beams ? "beam search" : "parallel sampling")} | {width} | {100 * sharing.Saved:0.0} % | {sharing.CopiesPerRequest:0.0} | {(beams ? "37.6 to 55.2 %" : "6.1 to 9.8 %")} |");
    }
File.WriteAllText(page, text.ToString());
Console.Write(text);
return 0;
