job "gemma" {
  group "serve" {
    task "sglang" {
      driver = "docker"
      config {
        image   = "lmsysorg/sglang:v0.5.16"
        command = "sglang"
        args = [
          "serve",
          "--model-path", "google/gemma-4-12B-it",
          "--host", "0.0.0.0",
        ]
        runtime = "nvidia"
      }
      resources { device "nvidia/gpu" { count = 1 } }
    }
  }
}
