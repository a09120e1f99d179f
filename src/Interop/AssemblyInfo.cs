using System.Runtime.CompilerServices;

// Structs and pointers cross the boundary as they are; anything that would need marshalling does not compile.
[assembly: DisableRuntimeMarshalling]
