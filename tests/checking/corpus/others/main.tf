resource "google_compute_instance" "gemma" {
  name         = "gemma"
  machine_type = "a3-highgpu-2g"
  metadata_startup_script = <<-EOT
    #!/bin/bash
    docker run -d --gpus all -p 30000:30000 lmsysorg/sglang:v0.5.16 \
      sglang serve --model-path ${var.model} --host 0.0.0.0
  EOT
}

resource "docker_container" "gemma" {
  image   = "lmsysorg/sglang:v0.5.16"
  command = ["sglang", "serve", "--model-path", "google/gemma-4-31B-it", "--tp-size", "2"]
}
