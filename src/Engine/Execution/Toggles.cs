namespace NativeLM.Engine.Execution;

/// <summary>What a toggle means once the device is known.</summary>
internal static class Toggles
{
    /// <summary>True for On, and for Auto where it pays.</summary>
    public static bool IsOn(this Toggle toggle, bool pays) => toggle == Toggle.On || (toggle == Toggle.Auto && pays);
}
