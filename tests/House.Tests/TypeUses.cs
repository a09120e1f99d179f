using System.Reflection;
using System.Reflection.Emit;

namespace NativeLM.Tests.House;

/// <summary>Every type that a type's code and signatures mention, read from metadata and IL.</summary>
internal static class TypeUses
{
    private const BindingFlags Own =
        BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly;

    private static readonly Dictionary<short, OpCode> OpCodes = typeof(OpCodes).GetFields(BindingFlags.Public | BindingFlags.Static)
        .Select(f => (OpCode)f.GetValue(null)!).ToDictionary(o => o.Value);

    public static HashSet<Type> Of(Type type)
    {
        HashSet<Type> uses = [];
        Add(uses, type.BaseType);
        foreach (Type implemented in type.GetInterfaces())
            Add(uses, implemented);
        foreach (FieldInfo field in type.GetFields(Own))
            Add(uses, field.FieldType);
        foreach (MethodBase method in type.GetMethods(Own).Cast<MethodBase>().Concat(type.GetConstructors(Own)))
            AddMethod(uses, method);
        return uses;
    }

    /// <summary>The type a person wrote: closures and nested types belong to their outermost type.</summary>
    public static Type Outermost(Type type) => type.DeclaringType is { } outer ? Outermost(outer) : type;

    private static void AddMethod(HashSet<Type> uses, MethodBase method)
    {
        AddSignature(uses, method);
        MethodBody? body = method.GetMethodBody();
        foreach (LocalVariableInfo local in body?.LocalVariables ?? [])
            Add(uses, local.LocalType);
        foreach (ExceptionHandlingClause clause in body?.ExceptionHandlingClauses ?? [])
            if (clause.Flags == ExceptionHandlingClauseOptions.Clause)
                Add(uses, clause.CatchType);
        foreach (int token in Tokens(body?.GetILAsByteArray() ?? []))
            AddMember(uses, method, token);
    }

    private static void AddMember(HashSet<Type> uses, MethodBase method, int token)
    {
        Type[]? typeArguments = method.DeclaringType is { IsGenericType: true } declaring ? declaring.GetGenericArguments() : null;
        Type[]? methodArguments = method.IsGenericMethod ? method.GetGenericArguments() : null;
        MemberInfo? member = method.Module.ResolveMember(token, typeArguments, methodArguments);
        Add(uses, member as Type ?? member?.DeclaringType);
        if (member is FieldInfo field)
            Add(uses, field.FieldType);
        if (member is MethodBase called)
            AddSignature(uses, called);
    }

    private static void AddSignature(HashSet<Type> uses, MethodBase method)
    {
        foreach (ParameterInfo parameter in method.GetParameters())
            Add(uses, parameter.ParameterType);
        Add(uses, (method as MethodInfo)?.ReturnType);
        if (method.IsGenericMethod)
            foreach (Type argument in method.GetGenericArguments())
                Add(uses, argument);
    }

    private static void Add(HashSet<Type> uses, Type? type)
    {
        if (type is null)
            return;
        if (type.HasElementType)
            Add(uses, type.GetElementType());
        else if (uses.Add(type) && type.IsGenericType)
            foreach (Type argument in type.GetGenericArguments())
                Add(uses, argument);
    }

    private static IEnumerable<int> Tokens(byte[] il)
    {
        for (int at = 0; at < il.Length;)
        {
            short value = il[at] == 0xFE ? (short)(0xFE00 | il[at + 1]) : il[at];
            OpCode code = OpCodes[value];
            at += code.Size;
            if (code.OperandType is OperandType.InlineMethod or OperandType.InlineField or OperandType.InlineType or OperandType.InlineTok)
                yield return BitConverter.ToInt32(il, at);
            at += code.OperandType switch
            {
                OperandType.InlineNone => 0,
                OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
                OperandType.InlineVar => 2,
                OperandType.InlineI8 or OperandType.InlineR => 8,
                OperandType.InlineSwitch => 4 + 4 * BitConverter.ToInt32(il, at),
                _ => 4,
            };
        }
    }
}
